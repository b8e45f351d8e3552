package api

import (
	"net/http"
	"net/netip"
	"testing"
)

func TestClientAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, test := range map[string]struct {
		remote    string
		forwarded []string
		want      string
	}{
		"a caller itself":                {"203.0.113.7:1234", nil, "203.0.113.7"},
		"a stranger's word is not taken": {"203.0.113.7:1234", []string{"198.51.100.1"}, "203.0.113.7"},
		"a proxy's is":                   {"10.0.0.1:1234", []string{"198.51.100.1"}, "198.51.100.1"},
		"as far as proxies wrote it":     {"10.0.0.1:1234", []string{"192.0.2.1, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		"over several headers":           {"10.0.0.1:1234", []string{"192.0.2.1", "198.51.100.1", "10.0.0.2"}, "198.51.100.1"},
		"all of them proxies":            {"10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"with a port":                    {"10.0.0.1:1234", []string{"198.51.100.1:80"}, "198.51.100.1"},
		"IPv6":                           {"[fd00::1]:1234", []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		"IPv6 in brackets":               {"[fd00::1]:1234", []string{"[2001:db8::1]"}, "2001:db8::1"},
		"IPv4 in IPv6":                   {"[::ffff:10.0.0.1]:1234", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		"what is no address":             {"10.0.0.1:1234", []string{"unknown"}, "10.0.0.1"},
		"nothing":                        {"10.0.0.1:1234", []string{" , "}, "10.0.0.1"},
		"no address at all":              {"pipe", nil, "invalid IP"},
	} {
		r := &http.Request{RemoteAddr: test.remote, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := clientAddr(r, trusted).String(); got != test.want {
			t.Errorf("%s: %s, not %s", name, got, test.want)
		}
	}
}

func FuzzClientAddress(f *testing.F) {
	for _, seed := range []string{"198.51.100.1", "[2001:db8::1]:80, 10.0.0.2", "fe80::1%eth0", "::ffff:1.2.3.4", ",,", "[", "unknown"} {
		f.Add(seed)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, forwarded string) {
		r := &http.Request{RemoteAddr: "10.0.0.1:1", Header: http.Header{"X-Forwarded-For": {forwarded}}}
		if addr := clientAddr(r, trusted); !addr.IsValid() || addr.Is4In6() || addr.Zone() != "" {
			t.Errorf("%q gives %s", forwarded, addr)
		}
	})
}
