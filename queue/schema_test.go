package queue

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tallygate/tallygate"
)

var update = flag.Bool("update", false, "write what the code answers into the golden files")

const faultsFile = "testdata/schema_faults.json"

// faultCase is an input checked against a schema and the error that it comes to, empty where it fits.
type faultCase struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Input  json.RawMessage `json:"input"`
	Error  string          `json:"error"`
	Field  string          `json:"field"`
}

func TestFaultsOfAnInput(t *testing.T) {
	text, err := os.ReadFile(faultsFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []faultCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		c := &cases[i]
		schema, err := compileSchema(c.Schema)
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		answer, field := "", ""
		if err := checkInput(schema, "/input", c.Input).Err(); err != nil {
			e := tallygate.AsError(err)
			answer, field = e.Code.String()+": "+e.Detail, e.Field
		}
		if *update {
			c.Error, c.Field = answer, field
		} else if answer != c.Error || field != c.Field {
			t.Errorf("%s:\n got %s (%s)\nwant %s (%s)", c.Name, answer, field, c.Error, c.Field)
		}
	}
	if *update {
		var b bytes.Buffer
		for i, c := range cases {
			fmt.Fprintf(&b, "%c {\"name\": %s,\n  \"schema\": %s,\n  \"input\": %s,\n  \"error\": %s,\n  \"field\": %s}\n",
				"[,"[min(i, 1)], compact(c.Name), compact(c.Schema), compact(c.Input), compact(c.Error), compact(c.Field))
		}
		b.WriteString("]\n")
		if err := os.WriteFile(faultsFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compact is a value as JSON on one line.
func compact(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSpace(b.String())
}

func TestMissingValuesAreToldBeforeWrongOnes(t *testing.T) {
	wrong, gone := Fault{Pointer: "/a", Text: "is wrong"}, Fault{Pointer: "/z", Text: "is required", Missing: true}
	for _, c := range []struct {
		faults Faults
		code   tallygate.Code
		detail string
	}{
		{Faults{wrong, gone}, tallygate.MissingParameter, "/z: is required"},
		{Faults{gone, wrong}, tallygate.MissingParameter, "/z: is required"},
		{Faults{{Pointer: "/b", Text: "x"}, wrong, {Pointer: "/a", Text: "is odd"}, wrong}, tallygate.InvalidParameter, "/a: is odd; /a: is wrong; /b: x"},
	} {
		if e := tallygate.AsError(c.faults.Err()); e.Code != c.code || e.Detail != c.detail || e.Field != c.detail[:2] {
			t.Errorf("%v: %v", c.faults, e)
		}
	}
	if err := (Faults{}).Err(); err != nil {
		t.Errorf("no faults: %v", err)
	}
}

func TestAMessageListsABoundedNumberOfFaultsAndABoundedPartOfEach(t *testing.T) {
	var faults Faults
	for i := range 120 {
		faults = append(faults, Fault{Pointer: fmt.Sprintf("/%03d", i), Text: "is wrong"})
	}
	detail := tallygate.AsError(faults.Err()).Detail
	if n := strings.Count(detail, "is wrong"); n != 50 || !strings.HasSuffix(detail, "; and 70 more") {
		t.Errorf("%d are listed: …%s", n, detail[len(detail)-40:])
	}
	long := strings.Repeat("é\n", 10_000)
	detail = tallygate.AsError(Faults{{Pointer: "/" + long, Text: long}}.Err()).Detail
	if len(detail) > 3000 || strings.Contains(detail, "\n") {
		t.Errorf("%d bytes: %q", len(detail), detail)
	}
}

func TestNumbersThatCannotBeCheckedAreRefused(t *testing.T) {
	schema, err := compileSchema([]byte(`{"$defs":{"n":{"type":"number","minimum":0,"multipleOf":0.5}},"properties":{"a":{"$ref":"#/$defs/n"},"b":{"items":{"$ref":"#/$defs/n"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for number, fits := range map[string]bool{
		"1e400": true, "5E+400": true, "0e-400": true, "1" + strings.Repeat("0", 999): true,
		"1e401": false, "1E-401": false, "1e+999999": false, "1e-99999999": false, "1e99999999999999999999": false, "1" + strings.Repeat("0", 1000): false,
	} {
		for input, pointer := range map[string]string{
			`{"a":` + number + `}`:            "/input/a",
			`{"b":[1,` + number + `]}`:        "/input/b/1",
			`{"c":{"~/":[` + number + `,2]}}`: "/input/c/~0~1/0", // what no keyword looks at too: a worker would
		} {
			faults := checkInput(schema, "/input", []byte(input))
			if fits && len(faults) > 0 || !fits && (len(faults) != 1 || faults[0].Pointer != pointer) {
				t.Errorf("%.60s: %v", input, faults)
			}
		}
	}
	if _, err := compileSchema([]byte(`{"multipleOf":1e-99999999}`)); err == nil || !strings.Contains(err.Error(), "/multipleOf") {
		t.Errorf("in a schema: %v", err)
	}
	if faults := checkInput(schema, "", []byte(`[`+strings.Repeat("1e999,", 1000)+`1]`)); len(faults) != maxFaults {
		t.Errorf("%d faults", len(faults))
	}
}

func TestInputsAreCheckedByManyAtOnce(t *testing.T) {
	schema, err := compileSchema([]byte(`{"type":"object","required":["a"],"properties":{"b":{"type":"string","maxLength":3},"c":{"enum":[1,2]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	input := []byte(`{"b":"long","c":3}`)
	want := fmt.Sprint(checkInput(schema, "", input).Err())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := fmt.Sprint(checkInput(schema, "", input).Err()); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// resolve follows a JSON pointer (RFC 6901).
func resolve(value any, pointer string) (any, bool) {
	if pointer == "" {
		return value, true
	}
	steps := strings.Split(pointer, "/")
	if steps[0] != "" {
		return nil, false
	}
	for _, step := range steps[1:] {
		step = strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
		switch v := value.(type) {
		case map[string]any:
			member, ok := v[step]
			if !ok {
				return nil, false
			}
			value = member
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}

func FuzzSchemaFaults(f *testing.F) {
	text, err := os.ReadFile(faultsFile)
	if err != nil {
		f.Fatal(err)
	}
	var cases []faultCase
	if err := json.Unmarshal(text, &cases); err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add([]byte(c.Schema), []byte(c.Input))
	}
	f.Add([]byte(`{"$ref":"#"}`), []byte(`{}`))
	f.Add([]byte(`{"additionalProperties":false}`), []byte(`{"~":1,"/":2,"":3,"~1":4}`))
	f.Fuzz(func(t *testing.T, schemaText, input []byte) {
		schema, err := compileSchema(schemaText)
		if err != nil {
			_ = schemaFault(err)
			return
		}
		var value any
		if json.Unmarshal(input, &value) != nil {
			return
		}
		faults := checkInput(schema, "/input", input)
		for _, fault := range faults {
			pointer, ok := strings.CutPrefix(fault.Pointer, "/input")
			if !ok || fault.Text == "" {
				t.Fatalf("fault %+v", fault)
			}
			_, found := resolve(value, pointer)
			if parent, _ := resolve(value, pointer[:max(strings.LastIndex(pointer, "/"), 0)]); fault.Missing && (found || parent == nil) {
				t.Fatalf("%s: %s is said to be missing", input, fault.Pointer)
			}
			if !fault.Missing && !found {
				t.Fatalf("%s: nothing is at %s", input, fault.Pointer)
			}
		}
		if err := faults.Err(); (err != nil) != (len(faults) > 0) {
			t.Fatalf("%d faults and the error %v", len(faults), err)
		}
	})
}
