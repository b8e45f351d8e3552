package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestDefinitionsReadAsTheAPITakesThem(t *testing.T) {
	all, err := parseDefinitions([]byte(`
name: a
description: "A & B"
input_schema: {type: object, properties: {n: {multipleOf: 0.10}}}
price: {base: 1, units: {page: {price: 0.0020, max: 100}}}
executor: {kind: http, url: "http://upstream/", timeout: 10s, secret: s}
max_attempts: 5
attempt_timeout: 1m
time_limit: 2h
lease: 10s
cancel_charge: base
running_jobs: 7
retention: 24h
limits: {requests_per_second: 2.5}
clients: [cl_01jz3v6r1m8k4t2q9w7x5y3b0c]
`))
	if err != nil || len(all) != 1 || all[0].Line != 2 {
		t.Fatal(all, err)
	}
	got, err := jobTypes(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	j := got[0]
	if string(j.InputSchema) != `{"type":"object","properties":{"n":{"multipleOf":0.10}}}` {
		t.Errorf("schema %s", j.InputSchema)
	}
	if j.Price.Base != 1_000_000 || j.Price.Units["page"] != (tallygate.UnitPrice{Price: 2000, Max: 100}) {
		t.Errorf("price %+v", j.Price)
	}
	if j.Executor != (tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: "http://upstream/", Timeout: 10 * time.Second, Secret: "s"}) {
		t.Errorf("executor %+v", j.Executor)
	}
	if j.Description != "A & B" || j.MaxAttempts != 5 || j.AttemptTimeout != time.Minute || j.TimeLimit != 2*time.Hour || j.Lease != 10*time.Second ||
		j.CancelCharge != tallygate.CancelChargeBase || j.RunningJobs != 7 || j.Retention != 24*time.Hour ||
		j.Rate != (tallygate.RateLimit{PerSecond: 2.5, Burst: 3}) || len(j.Clients) != 1 {
		t.Errorf("got %+v", j)
	}
}

func TestDefinitionsAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "no job type in it",
		"null":                              "no job type in it",
		"3":                                 "line 1: expected a job type or a list of them",
		"[3]":                               "line 1: expected a job type: a mapping with a name",
		"name: a\nname: b":                  `line 2: "name" stands twice`,
		"- name: a\n- name: a":              `line 2: job type "a" is defined twice, first on line 1`,
		"{\"name\":\"a\",\"lease\":}":       "lease: an empty value has no use", // replaced below
		"name: a\nlease: 1":                 `line 1: job type "a": lease: must be a duration from 0s to 87840h such as "30s", not 1`,
		"name: a\nlease: soon":              `line 1: job type "a": lease: must be a duration from 0s to 87840h such as "30s", not "soon"`,
		"name: a\nlease: 1ms":               `line 1: job type "a": /lease: must be from 1s to 1h`,
		"name: a\nprice: {base: 1e2}":       `line 1: job type "a": /price/base: is wrong: "1e2" is not an amount: write a decimal such as "25.00"`,
		"name: a\nprice: {units: {p: {}}}":  `line 1: job type "a": /price/units/p/price is required; /price/units/p/max is required`,
		"name: a\ninput_schema: {type: 3}":  `line 1: job type "a": /input_schema: is not a JSON Schema (2020-12): at /type: value must be one of`,
		"name: a\nrunning_jobs: 0":          `line 1: job type "a": running_jobs: must be a whole number from 1`,
		"- name: a\n- name: b\n  lese: 30s": `line 2: job type "b": lese: is no field of this request; did you mean "lease"?`,
		"name: A!":                          `/name: must be`,
		"name: a\nexecutor: {kind: builtin, handler: none}": `/executor/handler: must be a registered handler`,
		"name: a\n<<: {lease: 1s}":                          "line 2: merging with << is not supported: write the fields out",
		"name: a\ninput_schema: {<<: {type: object}}":       "line 2: merging with << is not supported: write the fields out",
		"name: a\ninput_schema: {? [x] : 1}":                "line 2: a key must be a word",
		"name: a\ninput_schema: {n: .inf}":                  "line 2: .inf has no form in JSON",
	} {
		if strings.HasPrefix(text, "{\"name\"") {
			want = "" // an empty value is null, which stands for the default
		}
		all, err := parseDefinitions([]byte(text))
		if err == nil {
			_, err = jobTypes(all, nil)
		}
		got := ""
		if err != nil {
			got = err.Error()
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q:\ngot  %s\nwant %s", text, got, want)
		}
	}
}

func TestAliasesDoNotGrowWithoutEnd(t *testing.T) {
	var b strings.Builder
	b.WriteString("name: a\ninput_schema:\n  x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1]\n")
	for i := 1; i < 12; i++ {
		prev := string(rune('a' + i - 1))
		if i == 1 {
			prev = "x0"
		}
		b.WriteString("  k" + string(rune('a'+i)) + ": &" + string(rune('a'+i)) + " [" + strings.Repeat("*"+prev+", ", 8) + "1]\n")
	}
	if _, err := parseDefinitions([]byte(b.String())); err == nil {
		t.Error("a file that grows without end was taken")
	}
}

func FuzzDefinitions(f *testing.F) {
	f.Add("name: a\nprice: {base: 0.1}\n")
	f.Add("- {name: a, input_schema: {a: [1, 0x1, 1_0, .5, ~, yes, \"\\u0000\"]}}\n")
	f.Add("a: &a\n  b: *a\n")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseDefinitions([]byte(text))
		if err != nil {
			return
		}
		for _, d := range all {
			if !json.Valid(d.Body) {
				t.Errorf("%q became %q", text, d.Body)
			}
		}
	})
}
