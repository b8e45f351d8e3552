package api

import (
	"bytes"
	"strings"
	"testing"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/tallygate/tallygate"
)

func TestDepthIsBounded(t *testing.T) {
	for depth, wantOK := range map[int]bool{maxDepth: true, maxDepth + 1: false, 100_000: false} {
		body := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		err := parseBody([]byte(body))
		if (err == nil) != wantOK || (err != nil && !tallygate.IsCode(err, tallygate.InvalidRequest)) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
	flat := []byte(`{"a":"` + strings.Repeat(`[{\"`, 1000) + `","b":[` + strings.Repeat("[],", 1000) + `[]]}`)
	if err := parseBody(flat); err != nil {
		t.Error(err)
	}
}

func TestFaultsAreReportedByClass(t *testing.T) {
	var f faults
	f.add(tallygate.InvalidRequest, "", "conflict")
	f.invalid("b", "must be less")
	f.missing("c")
	f.missing("d")
	f.missing("c")
	err := tallygate.AsError(f.err())
	if err.Code != tallygate.MissingParameter || err.Detail != "c is required; d is required" || err.Field != "c" {
		t.Errorf("%v, field %s", err, err.Field)
	}
	for range 100 {
		f.add(tallygate.MissingParameter, "", "more")
	}
	if detail := tallygate.AsError(f.err()).Detail; !strings.HasSuffix(detail, "; and 52 more") {
		t.Error(detail)
	}
}

func TestGettersTakeWhatTheyShould(t *testing.T) {
	var f faults
	o, ok := newObject(&f, "", []byte(` { "text" : "a\u00e9\n" , "number":-17,"whole":-1.70e1,"float":0.5,"yes":true,"for":"1h30m","money":"0.21",
		"at":"2026-01-31T13:00:00+01:00","list":["a","b"],"nested":{"x":{}},"nothing":null,"n\u0061me":1} `))
	if !ok {
		t.Fatal("not an object")
	}
	if s, ok := o.text("text", 10); s != "aé\n" || !ok {
		t.Errorf("text %q", s)
	}
	if n := o.integer("number", 0, -100, 100); n != -17 {
		t.Errorf("number %d", n)
	}
	if n := o.integer("whole", 0, -100, 100); n != -17 {
		t.Errorf("whole %d", n)
	}
	if n, ok := o.number("float", 0, 1); n != 0.5 || !ok {
		t.Errorf("float %v", n)
	}
	if !o.boolean("yes", false) || !o.boolean("nothing", true) {
		t.Error("booleans")
	}
	if d := o.duration("for", 0, 0, 2*time.Hour); d != 90*time.Minute {
		t.Errorf("for %s", d)
	}
	if m, ok := o.money("money"); m != 210_000 || !ok {
		t.Errorf("money %s", m)
	}
	if at := o.time("at"); !at.Equal(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)) || at.Location() != time.UTC {
		t.Errorf("at %s", at)
	}
	if list, ok := o.texts("list", 2); strings.Join(list, " ") != "a b" || !ok {
		t.Errorf("list %q", list)
	}
	nested, ok := o.object("nested")
	if !ok || string(nested.rawObject("x", 2)) != "{}" {
		t.Errorf("nested %v", nested)
	}
	if n := o.integer("name", 0, 0, 1); n != 1 {
		t.Errorf("an escaped name: %d", n)
	}
	nested.done()
	o.done()
	if f.any() {
		t.Error(f.err())
	}
}

// What a description's maxLength, integer and date-time mean is what is taken.
func TestGettersRefuseWhatTheyShould(t *testing.T) {
	for value, get := range map[string]func(*object){
		`"ééé"`:                       func(o *object) { o.text("a", 2) },
		`0.5`:                         func(o *object) { o.integer("a", 0, 0, 1) },
		`1e300`:                       func(o *object) { o.count("a") },
		`9007199254740993.0`:          func(o *object) { o.integer("a", 0, 0, 1<<53) },
		`"1"`:                         func(o *object) { o.count("a") },
		`"1.0"`:                       func(o *object) { o.count("a") },
		`"2026-01-31T1:00:00Z"`:       func(o *object) { o.time("a") },
		`"2026-01-31T12:00:00,5Z"`:    func(o *object) { o.time("a") },
		`"2026-01-31T12:00:00+24:00"`: func(o *object) { o.time("a") },
	} {
		var f faults
		o, _ := newObject(&f, "", []byte(`{"a":`+value+`}`))
		if get(o); !f.any() {
			t.Errorf("%s is taken", value)
		}
	}
	var f faults
	o, _ := newObject(&f, "", []byte(`{"a":"ééé"}`))
	if s, ok := o.text("a", 3); s != "ééé" || !ok || f.any() {
		t.Errorf("three characters: %q %v", s, f.err())
	}
}

// FuzzObject compares the cutting of objects with a JSON package's, and has every getter read every member.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		someJob, `{}`, ` { } `, `[]`, `{"a":{"b":[1,"}",{"c":"\"]"}]},"d":-1.5e3,"e":null,"f":true}`, `{"\u0061":1,"a":2}`,
		`{"a":1,"a":2}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `{"a":1}x`, `{"a":1,}`, `{"jobs":[{"type":"x","input":[]}]}`,
		`{"a":"2026-01-31T12:00:00Z","b":"30s","c":"0.000001","d":["x",1]}`, "{\n\t\"a\" : [ 1 , 2 ] \r\n}", `"x"`, `{"a/b~c":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := parseBody(body)
		var want map[string]jsontext.Value
		wantErr := jsonv2.Unmarshal(body, &want)
		if err != nil {
			code := tallygate.AsError(err).Code
			if code == tallygate.InvalidFormat && jsontext.Value(body).IsValid() {
				t.Errorf("%v for valid JSON", err)
			}
			return
		}
		if jsontext.Value(body).Kind() == '[' {
			values, ok := elements(body, len(body))
			var list []jsontext.Value
			if err := jsonv2.Unmarshal(body, &list); err != nil || !ok || len(values) != len(list) {
				t.Fatalf("%d elements of %d, %v", len(values), len(list), err)
			}
			for i := range list {
				if !bytes.Equal(values[i], list[i]) {
					t.Errorf("element %d is %s, not %s", i, values[i], list[i])
				}
			}
		}
		var found faults
		o, ok := newObject(&found, "", body)
		if !ok {
			return
		}
		if len(want) > maxMembers {
			return
		}
		if wantErr != nil || len(o.members) != len(want) {
			t.Fatalf("%d members of %d, %v", len(o.members), len(want), wantErr)
		}
		for _, m := range o.members {
			if value, ok := want[string(m.name)]; !ok || !bytes.Equal(m.value, value) {
				t.Errorf("%q is %s, not %s", m.name, m.value, value)
			}
		}
		readAll(o)
		if err := found.err(); err != nil && tallygate.AsError(err).Detail == "" {
			t.Error("a fault without a word")
		}
	})
}

// readAll has every getter read every member.
func readAll(o *object) {
	for i := range o.members {
		name := string(o.members[i].name)
		o.text(name, 10)
		o.requiredText(name, 10)
		o.integer(name, 0, 0, 10)
		o.number(name, 0, 1)
		o.count(name)
		o.decimal(name)
		o.boolean(name, false)
		o.duration(name, 0, 0, time.Hour)
		o.money(name)
		o.time(name)
		o.texts(name, 3)
		o.rate(name)
		o.rawObject(name, 10)
		if nested, ok := o.object(name); ok {
			readAll(nested)
		}
	}
	o.submission()
	o.report()
	o.leaseRequest()
	o.jobType("x")
	o.limits("limits")
	o.done()
}
