package e2e

import "testing"

// Who may call from where is judged by the address of the connection, unless that is a proxy which is trusted to tell
// another.
func TestAllowedAddresses(t *testing.T) {
	t.Parallel()
	direct := serve(t, setup{config: "failed_auth_limit: 0\n"})
	behind := serve(t, setup{config: "failed_auth_limit: 0\ntrusted_proxies: [127.0.0.1]\n"})
	for _, c := range []struct {
		name      string
		server    *server
		forwarded string
		code      string // empty: 200
	}{
		{"nobody is believed by default", direct, "192.0.2.1", "AUTHORIZATION_FAILED"},
		{"a trusted proxy is believed", behind, "192.0.2.1", ""},
		{"what a caller claims before a trusted proxy is not", behind, "192.0.2.1, 198.51.100.7", "AUTHORIZATION_FAILED"},
		{"a chain of trusted proxies is followed", behind, "192.0.2.1, 127.0.0.1", ""},
		{"a trusted proxy that tells nothing stands for itself", behind, "", "AUTHORIZATION_FAILED"},
		{"nonsense is no address", behind, "192.0.2.1, nonsense", "AUTHORIZATION_FAILED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, _ := c.server.newClient(t, "").newKey(object{"permissions": []string{"account:read"}, "allowed_cidrs": []string{"192.0.2.0/24"}})
			var header []string
			if c.forwarded != "" {
				header = []string{"X-Forwarded-For", c.forwarded}
			}
			if a := key.get("/v1/account", header...); c.code == "" {
				a.ok()
			} else {
				a.refused(c.code)
			}
		})
	}
}
