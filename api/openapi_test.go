package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate"
)

// described is the description as the tests read it.
type described struct {
	document map[string]any
	compiler *jsonschema.Compiler
}

const documentName = "http://server.test/openapi.json"

var description = sync.OnceValues(func() (*described, error) {
	d, err := Description("")
	if err != nil {
		return nil, err
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.JSON()))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	return &described{document.(map[string]any), c}, c.AddResource(documentName, document)
})

func describe(t testing.TB) *described {
	t.Helper()
	d, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// at walks down the members of the document.
func (d *described) at(names ...string) any {
	var v any = d.document
	for _, name := range names {
		object, _ := v.(map[string]any)
		v = d.follow(object[name])
	}
	return v
}

// follow returns what a reference refers to, and anything else as it is.
func (d *described) follow(v any) any {
	if object, ok := v.(map[string]any); ok {
		if ref, ok := object["$ref"].(string); ok && len(object) == 1 {
			return d.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
	}
	return v
}

var compiling sync.Mutex

// schema compiles the schema at the place.
func (d *described) schema(t testing.TB, names ...string) *jsonschema.Schema {
	t.Helper()
	for i, name := range names {
		names[i] = strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
	}
	compiling.Lock()
	defer compiling.Unlock()
	s, err := d.compiler.Compile(documentName + "#/" + strings.Join(names, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheDescriptionHasEveryRouteAndNoOther(t *testing.T) {
	paths := describe(t).at("paths").(map[string]any)
	known := map[string]bool{}
	for _, rt := range routes() {
		known[rt.name()] = true
	}
	ids := map[string]string{}
	for path, item := range paths {
		for method, op := range item.(map[string]any) {
			name := strings.ToUpper(method) + " " + path
			if !known[name] {
				t.Errorf("%s is described and is no route", name)
				continue
			}
			delete(known, name)
			id := op.(map[string]any)["operationId"].(string)
			if ids[id] != "" {
				t.Errorf("%s and %s are both %s", name, ids[id], id)
			}
			ids[id] = name
		}
	}
	for name := range known {
		t.Errorf("%s is not described", name)
	}
}

// Whatever is written is used, and what is used is there.
func TestTheDescriptionsReferencesLeadSomewhere(t *testing.T) {
	d := describe(t)
	used := map[string]bool{"components/securitySchemes/bearer": true, "components/securitySchemes/apiKey": true}
	var walk func(at string, v any)
	walk = func(at string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				if ref, ok := member.(string); ok && (name == "$ref" || strings.HasPrefix(ref, "#/components/")) {
					place := strings.TrimPrefix(ref, "#/")
					used[place] = true
					if d.at(strings.Split(place, "/")...) == nil {
						t.Errorf("%s refers to %s, which is not there", at, ref)
					}
				}
				walk(at+"/"+name, member)
			}
		case []any:
			for i, item := range v {
				walk(at+"/"+strconv.Itoa(i), item)
			}
		}
	}
	walk("", d.document)
	for kind, all := range d.at("components").(map[string]any) {
		for name := range all.(map[string]any) {
			if !used["components/"+kind+"/"+name] {
				t.Errorf("nothing uses the %s %s", kind, name)
			}
		}
	}
}

func TestTheDescriptionKnowsTheCodesAndPermissions(t *testing.T) {
	d := describe(t)
	same := func(what string, got []any, want []string) {
		t.Helper()
		names := []string{}
		for _, v := range got {
			names = append(names, v.(string))
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s: %v, not %v", what, names, want)
		}
	}
	var codes, permissions []string
	for _, code := range tallygate.Codes() {
		codes = append(codes, code.String())
		if get(sourceTree(t), "x-details", code.String()) == nil {
			t.Errorf("there is no example of %s", code)
		}
	}
	for _, p := range tallygate.Presets["operator"] {
		permissions = append(permissions, string(p))
	}
	grants := slices.Clone(permissions)
	for _, name := range []string{"full", "submit", "read_only", "worker", "operator"} {
		grants = append(grants, tallygate.PresetPrefix+name)
	}
	if len(grants)-len(permissions) != len(tallygate.Presets) {
		t.Errorf("there are other presets: %v", tallygate.Presets)
	}
	same("ErrorCode", d.at("components", "schemas", "ErrorCode", "enum").([]any), codes)
	same("Permission", d.at("components", "schemas", "Permission", "enum").([]any), permissions)
	same("Grant", d.at("components", "schemas", "Grant", "enum").([]any), grants)
}

func sourceTree(t *testing.T) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal(openapiSource, &n); err != nil {
		t.Fatal(err)
	}
	return n.Content[0]
}

// Every operation is told, has an answer 200 and, for each of its codes, an example under the code's status.
func TestEveryOperationIsDescribedWhole(t *testing.T) {
	d := describe(t)
	tags := map[string]bool{}
	for _, tag := range d.at("tags").([]any) {
		tags[tag.(map[string]any)["name"].(string)] = true
	}
	for _, rt := range routes() {
		op := d.at("paths", rt.path, strings.ToLower(rt.method)).(map[string]any)
		for _, name := range []string{"operationId", "summary", "description"} {
			if s, _ := op[name].(string); s == "" {
				t.Errorf("%s has no %s", rt.name(), name)
			}
		}
		if list, _ := op["tags"].([]any); len(list) != 1 || !tags[list[0].(string)] {
			t.Errorf("%s has the tags %v", rt.name(), op["tags"])
		}
		if _, is := op["security"]; is != (rt.kind == open) {
			t.Errorf("%s: security %v", rt.name(), op["security"])
		}
		answers := op["responses"].(map[string]any)
		for status, answer := range answers {
			headers := answer.(map[string]any)["headers"].(map[string]any)
			for _, name := range []string{"RateLimit", "RateLimit-Policy", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
				if (headers[name] != nil) != (rt.kind != open) {
					t.Errorf("%s %s: %s is described: %t", rt.name(), status, name, headers[name] != nil)
				}
			}
		}
		seen := 0
		for _, name := range op["x-codes"].([]any) {
			code, _ := tallygate.ParseCode(name.(string))
			answer, _ := answers[strconv.Itoa(code.Status())].(map[string]any)
			examples, _ := answer["content"].(map[string]any)["application/json"].(map[string]any)["examples"].(map[string]any)
			if examples[code.String()] == nil {
				t.Errorf("%s has no example of %s", rt.name(), code)
			}
			seen++
		}
		for status, answer := range answers {
			if status[0] < '4' {
				continue
			}
			seen -= len(answer.(map[string]any)["content"].(map[string]any)["application/json"].(map[string]any)["examples"].(map[string]any))
		}
		if seen != 0 {
			t.Errorf("%s has examples of codes that it does not name", rt.name())
		}
		if answers["200"] == nil {
			t.Errorf("%s has no answer 200", rt.name())
		}
		var heeds bool
		parameters, _ := op["parameters"].([]any)
		for _, p := range parameters {
			heeds = heeds || d.follow(p).(map[string]any)["name"] == tallygate.IdempotencyHeader
		}
		if heeds != rt.takesKey {
			t.Errorf("%s: %s is described: %t", rt.name(), tallygate.IdempotencyHeader, heeds)
		}
	}
}

func TestEveryComponentSaysWhatItIs(t *testing.T) {
	for kind, components := range describe(t).at("components").(map[string]any) {
		says := "description"
		if kind == "examples" {
			says = "summary"
		}
		for name, component := range components.(map[string]any) {
			if s, _ := component.(map[string]any)[says].(string); s == "" {
				t.Errorf("%s of the %s has no %s", name, kind, says)
			}
		}
	}
}

// Every example is what its schema says.
func TestExamplesOfTheDescriptionAreValid(t *testing.T) {
	d := describe(t)
	check := func(where string, s *jsonschema.Schema, v any) {
		t.Helper()
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", where, err)
		}
	}
	contents := func(name string, at []string) {
		media, _ := d.at(at...).(map[string]any)
		for kind, content := range media {
			if kind != "application/json" {
				continue
			}
			s := d.schema(t, append(slices.Clone(at), kind, "schema")...)
			examples := content.(map[string]any)["examples"].(map[string]any)
			for title, example := range examples {
				check(name+" "+title, s, d.follow(example).(map[string]any)["value"])
			}
		}
	}
	for _, rt := range routes() {
		at := []string{"paths", rt.path, strings.ToLower(rt.method)}
		op := d.at(at...).(map[string]any)
		if body, ok := op["requestBody"].(map[string]any); ok {
			if ref, ok := body["$ref"].(string); ok {
				contents(rt.name(), append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), "content"))
			} else {
				contents(rt.name(), append(slices.Clone(at), "requestBody", "content"))
			}
		}
		for status := range op["responses"].(map[string]any) {
			contents(rt.name()+" "+status, append(slices.Clone(at), "responses", status, "content"))
		}
		parameters, _ := op["parameters"].([]any)
		for i, p := range parameters {
			p := d.follow(p).(map[string]any)
			place := append(slices.Clone(at), "parameters", strconv.Itoa(i), "schema")
			if ref, ok := parameters[i].(map[string]any)["$ref"].(string); ok {
				place = append(strings.Split(strings.TrimPrefix(ref, "#/"), "/"), "schema")
			}
			check(fmt.Sprint(rt.name(), " ", p["name"]), d.schema(t, place...), p["example"])
		}
	}
	for name, v := range d.at("components", "schemas").(map[string]any) {
		examples, _ := v.(map[string]any)["examples"].([]any)
		for _, example := range examples {
			check(name, d.schema(t, "components", "schemas", name), example)
		}
	}
}

func TestTheDescriptionIsServed(t *testing.T) {
	h := newHouse(t, newClock().Now, func(o *Options) { o.PublicURL = "https://jobs.example/" })
	w := h.send("GET", "/openapi.json", "", "")
	var document struct {
		OpenAPI string
		Servers []struct{ URL string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || document.OpenAPI != "3.1.0" || document.Servers[0].URL != "https://jobs.example" {
		t.Fatalf("%d %v %v", w.Code, err, document)
	}
	header := w.Header()
	tag := header.Get("ETag")
	if header.Get("Content-Type") != "application/json" || header.Get("Cache-Control") != "public, max-age=300" || tag == "" || header.Get("X-Request-Id") == "" {
		t.Errorf("%v", header)
	}
	for _, tags := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
		w := h.send("GET", "/openapi.json", "", "", "If-None-Match: "+tags)
		if w.Code != http.StatusNotModified || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
			t.Errorf("If-None-Match %s: %d %v", tags, w.Code, w.Header())
		}
	}
	if w := h.send("GET", "/openapi.json", "", "", `If-None-Match: "other"`); w.Code != http.StatusOK {
		t.Errorf("another tag: %d", w.Code)
	}
	if w := h.send("POST", "/openapi.json", "", ""); w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}
