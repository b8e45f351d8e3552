package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tallygate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheFlagsAreTheSettings(t *testing.T) {
	var flags settingFlags
	fields := reflect.ValueOf(&flags).Elem()
	text, all := "x", []string{"x"}
	for i := range fields.NumField() {
		switch f := fields.Field(i).Addr().Interface().(type) {
		case **string:
			*f = &text
		case *[]string:
			*f = all
		}
	}
	given := flags.given()
	for _, s := range settings {
		if given[s.name] == nil {
			t.Errorf("the setting %s is no flag", s.name)
		}
		delete(given, s.name)
		field, _ := fields.Type().FieldByNameFunc(func(name string) bool { return snake(name) == s.name })
		if want := "TALLYGATE_" + strings.ToUpper(s.name); field.Tag.Get("env") != want {
			t.Errorf("the variable of %s is %q, not %s", s.name, field.Tag.Get("env"), want)
		}
	}
	if len(given) > 0 {
		t.Errorf("flags without a setting: %v", given)
	}
}

func TestTheHelpTellsTheDefaults(t *testing.T) {
	help := tally(t.Context(), "", "serve", "--help").stdout
	c := defaultConfig()
	for _, want := range []string{
		"(default: " + c.Listen + ")", "(default: " + c.Database + ")", "(default: USD)", "(default: 4MiB)",
		"(default: 2000)", "(default: " + c.ShedDelay.String() + ")", "(default: 5)", "(default: info)", "(default: json)",
	} {
		if !strings.Contains(strings.Join(strings.Fields(help), " "), want) {
			t.Errorf("the help does not say %s", want)
		}
	}
}

func TestEachSourceGoesBeforeTheOneBelowIt(t *testing.T) {
	path := writeFile(t, "listen: 127.0.0.1:1\nmax_body: 1MiB\nshed_delay: 3s\ntrusted_proxies: [10.0.0.0/8, 192.168.1.7]\nfailed_auth_limit: 0\npublic_url: https://x.example/\n")
	t.Setenv("TALLYGATE_MAX_BODY", "2MiB")
	t.Setenv("TALLYGATE_SHED_DELAY", "4s")
	t.Setenv("TALLYGATE_ALLOWED_ORIGINS", "https://a.example,https://b.example")
	t.Setenv(operatorKeyVariable, "tg_live_operator")
	var line cli
	if _, err := newParser(&line, process{}).Parse([]string{"serve", "--config", path, "--shed-delay", "5s"}); err != nil {
		t.Fatal(err)
	}
	c, err := line.Serve.load()
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.Listen, want.MaxBody, want.ShedDelay, want.OperatorKey = "127.0.0.1:1", 2<<20, 5*time.Second, "tg_live_operator"
	want.AllowedOrigins = []string{"https://a.example", "https://b.example"}
	want.FailedAuthLimit, want.PublicURL = 0, "https://x.example"
	want.TrustedProxies = c.TrustedProxies
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if len(c.TrustedProxies) != 2 || c.TrustedProxies[1].String() != "192.168.1.7/32" {
		t.Errorf("proxies %v", c.TrustedProxies)
	}
	if c.failedAuth() != (tallygate.RateLimit{}) {
		t.Errorf("a limit of 0 is %v", c.failedAuth())
	}
}

func TestFailedAuthBurst(t *testing.T) {
	for _, test := range []struct {
		limit float64
		burst int64
		want  tallygate.RateLimit
	}{
		{5, 0, tallygate.RateLimit{PerSecond: 5, Burst: 10}},
		{0.1, 0, tallygate.RateLimit{PerSecond: 0.1, Burst: 1}},
		{5, 3, tallygate.RateLimit{PerSecond: 5, Burst: 3}},
	} {
		c := config{FailedAuthLimit: test.limit, FailedAuthBurst: test.burst}
		if got := c.failedAuth(); got != test.want {
			t.Errorf("%v and %d: %v, want %v", test.limit, test.burst, got, test.want)
		}
	}
}

func TestFaultsOfAFileAreToldWithTheirLine(t *testing.T) {
	for text, want := range map[string]string{
		"# nothing\n":                    "",
		"allowed_origins:\n":             "",
		"job_types: []\n":                "",
		"lisen: 127.0.0.1:1\n":           `line 1: unknown setting "lisen"; did you mean "listen"?`,
		"\nfrobnicate: 1\n":              `line 2: unknown setting "frobnicate"`,
		"operator_key: x\n":              `line 1: unknown setting "operator_key": the operator key comes from TALLYGATE_OPERATOR_KEY alone, since files are copied`,
		"listen: 8080\n":                 `line 1: listen must be HOST:PORT such as "127.0.0.1:8080", or ":8080" for every address`,
		"listen:\n":                      "line 1: listen has no value",
		"listen: [a, b]\n":               "line 1: listen takes one value, not a list",
		"listen: {a: b}\n":               "line 1: listen takes a value or a list of values",
		"currency: usd\n":                `line 1: currency must be a code of ISO 4217 such as "USD"`,
		"max_body: 1GiB\n":               `line 1: max_body must be from "1KiB" to "64MiB"`,
		"max_body: lots\n":               `line 1: max_body must be a number of bytes such as 4194304 or "4MiB"`,
		"max_in_flight: 0\n":             "line 1: max_in_flight must be from 1 to 1000000",
		"drain_timeout: 2\n":             `line 1: drain_timeout must be a duration such as "2s"`,
		"failed_auth_limit: .nan\n":      "line 1: failed_auth_limit must be a number of requests per second, or 0 for no limit",
		"failed_auth_limit: -1\n":        "line 1: failed_auth_limit must be from 0 to 1000000",
		"log_level: loud\n":              "line 1: log_level must be one of debug, info, warn, error",
		"public_url: jobs.example\n":     `line 1: public_url must be a URL such as "https://jobs.example.com"`,
		"allowed_origins: [x.example]\n": `line 1: allowed_origins "x.example" must be an origin such as "https://app.example.com", without a path, or "*"`,
		"trusted_proxies: [10.0.0.0]\ntrusted_proxies: 10.0.0.0/8\n": `line 2: "trusted_proxies" stands twice`,
		"trusted_proxies: [here]\nlog_format: xml\n":                 `line 1: trusted_proxies "here" must be an address or a range such as "10.0.0.0/8"; line 2: log_format must be json or text`,
		"- listen\n":     "line 1: expected settings, each as name: value",
		"listen: \"\n":   "line 2: found unexpected end of stream",
		"job_types: 3\n": "line 1: job_types must be a list",
		"job_types:\n  - name: a\n    lese: 30s\n":                         `line 2: job type "a": lese: is no field of this request; did you mean "lease"?`,
		"job_types:\n  - price: {}\n":                                      "line 2: a job type needs a name",
		"job_types:\n  - {name: a, executor: {kind: pull, tiemout: 1s}}\n": `line 2: job type "a": /executor/tiemout: is no field of this request, which takes kind`,
		"job_types:\n  - {name: a, lease: 1}\n  - {name: b, price: {bsae: 1}}\n": `line 2: job type "a": lease: must be a duration from 0s to 87840h such as "30s", not 1; ` +
			`line 3: job type "b": /price/bsae: is no field of this request; did you mean "base"?`,
	} {
		c := defaultConfig()
		got := ""
		if faults := c.readFile([]byte(text)); len(faults) > 0 {
			got = joined(faults).Error()
		}
		if got != want {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestWrongSettingsStopTheServer(t *testing.T) {
	path := writeFile(t, "lisen: x\n")
	r := tally(t.Context(), "", "serve", "--config", path, "--max-body", "none")
	if r.code != exitUsage || !strings.Contains(r.stderr, path+`: line 1: unknown setting "lisen"`) || !strings.Contains(r.stderr, "--max-body none: must be") {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	if r := tally(t.Context(), "", "serve", "--config", path+".none"); r.code != exitUsage {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}

func FuzzConfigFile(f *testing.F) {
	f.Add("listen: 127.0.0.1:1\njob_types:\n  - name: a\n    price: {base: 0.1}\n")
	f.Add("a: &a [*a]\n")
	f.Add("x: &x {y: 1}\njob_types: [{name: a, input_schema: *x}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := defaultConfig()
		if faults := c.readFile([]byte(text)); len(faults) == 0 {
			_, _ = jobTypes(c.JobTypes, nil)
		}
	})
}
