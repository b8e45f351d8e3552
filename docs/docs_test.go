package docs

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/api"
)

// described is the document that a server gives the site.
func described(t testing.TB) []byte {
	t.Helper()
	d, err := api.Description("")
	if err != nil {
		t.Fatal(err)
	}
	return d.JSON()
}

var made struct {
	once sync.Once
	site *Site
	err  error
}

// newSite is the site, made and rendered once for all tests.
func newSite(t testing.TB) *Site {
	t.Helper()
	made.once.Do(func() { made.site, made.err = New(Options{OpenAPI: described(t)}) })
	if made.err != nil {
		t.Fatal(made.err)
	}
	return made.site
}

// get asks the site. Header is pairs of a name and a value.
func get(s *Site, method, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// pagesOf renders every page of the site.
func pagesOf(t *testing.T, s *Site) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for path := range s.files {
		w := get(s, "GET", path)
		if w.Code != 200 || w.Body.Len() == 0 {
			t.Fatalf("%s: %d", path, w.Code)
		}
		if w.Header().Get("Content-Type") == htmlType {
			pages[path] = w.Body.String()
		}
	}
	return pages
}

func TestEveryFileIsInTheNavigation(t *testing.T) {
	s := newSite(t)
	files, err := fs.Glob(sources, "*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		path := "/docs/" + strings.TrimSuffix(name, ".md")
		if !slices.ContainsFunc(s.order, func(p *page) bool { return p.Path == path }) {
			t.Errorf("nav.yaml lacks %s", name)
		}
	}
}

func TestPagesHaveATitleAndNoHTML(t *testing.T) {
	for _, p := range newSite(t).order {
		if !bytes.HasPrefix(p.source, []byte("# ")) || p.Title == "" || p.Description == "" {
			t.Errorf("%s: title %q, description %q", p.Path, p.Title, p.Description)
		}
		_ = ast.Walk(markdown.Parser().Parse(text.NewReader(p.source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			if entering && (n.Kind() == ast.KindRawHTML || n.Kind() == ast.KindHTMLBlock) {
				t.Errorf("%s holds HTML, which is not shown: %.60s", p.Path, plain(n, p.source))
			}
			if h, ok := n.(*ast.Heading); ok && entering && h.Level == 1 && h.PreviousSibling() != nil {
				t.Errorf("%s has a second title: %s", p.Path, plain(h, p.source))
			}
			return ast.WalkContinue, nil
		})
	}
}

var (
	attribute = regexp.MustCompile(`\s(href|src|id)="([^"]*)"`)
	inline    = regexp.MustCompile(`<style|<script>|\sstyle=|\son[a-z]+=|javascript:`)
	loads     = regexp.MustCompile(`<(?:link|script|img|iframe|object|embed|source)[^>]*(?:href|src)="([^"]*)"`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	s := newSite(t)
	type link struct{ page, to string }
	var links []link
	ids := map[string]bool{}
	for path, page := range pagesOf(t, s) {
		for _, m := range attribute.FindAllStringSubmatch(page, -1) {
			switch {
			case m[1] == "id" && ids[path+"#"+m[2]]:
				t.Errorf("%s has the id %s twice", path, m[2])
			case m[1] == "id":
				ids[path+"#"+m[2]] = true
			case !strings.Contains(m[2], "://") && m[2] != "#" && m[2] != "/openapi.json":
				links = append(links, link{path, m[2]})
			}
		}
	}
	for _, l := range links {
		target, anchor, has := strings.Cut(l.to, "#")
		target, _, _ = strings.Cut(target, "?")
		if target == "" {
			target = l.page
		}
		if s.files[target] == nil {
			t.Errorf("%s: nothing is at %s", l.page, l.to)
		} else if has && !ids[target+"#"+anchor] {
			t.Errorf("%s: %s has no section %s", l.page, target, anchor)
		}
	}
	if len(links) < 100 {
		t.Errorf("only %d links were looked at", len(links))
	}
}

func TestPagesLoadNothingFromElsewhereAndHoldNothingInline(t *testing.T) {
	code := regexp.MustCompile(`(?s)<pre.*?</pre>|<code.*?</code>`)
	for path, page := range pagesOf(t, newSite(t)) {
		if m := inline.FindString(code.ReplaceAllString(page, "")); m != "" {
			t.Errorf("%s holds %q", path, m)
		}
		for _, m := range loads.FindAllStringSubmatch(page, -1) {
			if !strings.HasPrefix(m[1], "/docs/") {
				t.Errorf("%s loads %s", path, m[1])
			}
		}
	}
}

func TestEveryCodeHasAPage(t *testing.T) {
	s := newSite(t)
	for _, code := range tallygate.Codes() {
		f := code.Facts()
		body := get(s, "GET", "/docs/errors/"+f.Name).Body.String()
		for _, part := range []string{f.Name + "</h1>", f.Message, f.Remedy} {
			if !strings.Contains(body, part) {
				t.Errorf("the page of %s lacks %q", f.Name, part)
			}
		}
		if !strings.Contains(get(s, "GET", "/docs/errors").Body.String(), `href="/docs/errors/`+f.Name+`"><code>`) {
			t.Errorf("the table of codes does not lead to %s", f.Name)
		}
	}
}

func TestAnswersAreKeptAndCompressed(t *testing.T) {
	s := newSite(t)
	whole := get(s, "GET", "/docs/errors")
	tag := whole.Header().Get("ETag")
	if whole.Code != 200 || tag == "" || whole.Header().Get("Cache-Control") != "no-cache" || whole.Header().Get("Vary") != "Accept-Encoding" {
		t.Fatal(whole.Code, whole.Header())
	}
	for _, policy := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(whole.Header().Get("Content-Security-Policy"), policy) {
			t.Errorf("no %s", policy)
		}
	}
	zipped := get(s, "GET", "/docs/errors", "Accept-Encoding", "br, gzip;q=0.8")
	if zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Header().Get("ETag") == tag {
		t.Fatal(zipped.Header())
	}
	reader, err := gzip.NewReader(zipped.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(reader); err != nil || string(body) != whole.Body.String() {
		t.Errorf("zipped is another page: %v", err)
	}
	for header, status := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, zipped.Header().Get("ETag"): 200} {
		w := get(s, "GET", "/docs/errors", "If-None-Match", header)
		if w.Code != status || (status == 304) != (w.Body.Len() == 0) {
			t.Errorf("If-None-Match %s: %d, %d bytes", header, w.Code, w.Body.Len())
		}
	}
	if w := get(s, "GET", "/docs/errors", "Accept-Encoding", "gzip;q=0"); w.Header().Get("Content-Encoding") != "" {
		t.Error("gzip though it was refused")
	}
	head := get(s, "HEAD", "/docs/errors")
	if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != whole.Header().Get("Content-Length") {
		t.Error(head.Code, head.Body.Len(), head.Header())
	}
	for name, link := range s.links {
		if w := get(s, "GET", link); w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
}

func TestOtherAddresses(t *testing.T) {
	s := newSite(t)
	for path, status := range map[string]int{
		"/docs/": 303, "/docs/errors/": 303, "/docs/errors/JOB_NOT_FOUND/": 303,
		"/docs/nothing": 404, "/docs/errors/TEAPOT": 404, "/docs/nav.yaml": 404, "/docs/docs.go": 404, "/docs//": 404, "/llms.txt/x": 404, "/docs/static": 404,
	} {
		w := get(s, "GET", path)
		if w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
		if status == 404 && (w.Header().Get("Content-Type") != htmlType || !strings.Contains(w.Body.String(), "</html>")) {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	md := get(s, "GET", "/docs/errors.md")
	want, err := sources.ReadFile("errors.md")
	if err != nil || md.Body.String() != string(want) || md.Header().Get("Content-Type") != markdownType {
		t.Error(err, md.Header())
	}
}

func TestSearchIndexLeadsToSections(t *testing.T) {
	s := newSite(t)
	var entries []entry
	if err := json.Unmarshal(get(s, "GET", "/docs/search.json").Body.Bytes(), &entries); err != nil {
		t.Fatal(err)
	}
	pages := pagesOf(t, s)
	seen := map[string]bool{}
	for _, e := range entries {
		path, anchor, _ := strings.Cut(e.URL, "#")
		if !strings.Contains(pages[path], `id="`+anchor) || e.Title == "" {
			t.Errorf("%+v", e)
		}
		seen[path] = true
	}
	for _, p := range s.order {
		if !seen[p.Path] {
			t.Errorf("%s is not found", p.Path)
		}
	}
}

func TestLlms(t *testing.T) {
	s, err := New(Options{PublicURL: "https://jobs.example", OpenAPI: described(t)})
	if err != nil {
		t.Fatal(err)
	}
	list, full := get(s, "GET", "/llms.txt").Body.String(), get(s, "GET", "/llms-full.txt").Body.String()
	if !regexp.MustCompile(`\A# Tallygate\n\n> [^\n]+\n(\n## [^\n]+\n\n(- \[[^\]]+\]\(https://jobs\.example/docs/\S+\.md\): [^\n]+\n)+)+\z`).MatchString(list) {
		t.Errorf("not the format of llmstxt.org:\n%s", list)
	}
	for _, p := range s.order {
		if !strings.Contains(list, "](https://jobs.example"+p.Path+".md)") || !strings.Contains(full, string(p.source)) {
			t.Errorf("%s is missing", p.Path)
		}
	}
}

func TestNeighbouringLanguagesBecomeTabs(t *testing.T) {
	source := "# T\n\n```sh\ncurl x\n```\n\n```go\nx()\n```\n\n```python\nx()\n```\n\nBetween.\n\n```sh\none\n```\n\n```sh\ntwo\n```\n\n```json\n{}\n```\n"
	page := string(parse("/docs/t", []byte(source)).html())
	if strings.Count(page, `class="tabs"`) != 1 || !strings.Contains(page, `data-tabs="curl go python"`) || strings.Count(page, `class="panel"`) != 3 || strings.Count(page, "<pre") != 6 {
		t.Error(page)
	}
}

func TestFilesLinksAndCodesAreForTheSite(t *testing.T) {
	source := "# T\n\n[a](keys.md#x) [b](../errors.md) [c](https://x.example/y.md) [out `side`](../../examples/README.md) [d](/openapi.json) `JOB_NOT_FOUND` `job_not_found` [`INVALID_FORMAT`](jobs.md)\n\n```yaml file=types.yaml\na: 1\n```\n\n<b>no</b>\n"
	page := string(parse("/docs/errors/T", []byte(source)).html())
	for _, part := range []string{`"/docs/errors/keys#x"`, `"/docs/errors"`, `"https://x.example/y.md"`, " out <code>side</code> ", `"/openapi.json"`, `<a href="/docs/errors/JOB_NOT_FOUND"><code>`, `<a href="/docs/errors/jobs"><code>`, "<figcaption>types.yaml"} {
		if !strings.Contains(page, part) {
			t.Errorf("no %s in %s", part, page)
		}
	}
	if strings.Contains(page, "<b>") || strings.Contains(page, "job_not_found</code></a>") {
		t.Error(page)
	}
}

// TestHighlightingKnowsTheLanguages of the pages: a name that the highlighter does not know would be shown plain.
func TestHighlightingKnowsTheLanguages(t *testing.T) {
	unknown := map[string]string{}
	for _, p := range newSite(t).order {
		_ = ast.Walk(markdown.Parser().Parse(text.NewReader(p.source)), func(n ast.Node, entering bool) (ast.WalkStatus, error) {
			if name := blockLanguage(n, p.source); entering && n.Kind() == ast.KindFencedCodeBlock && lexerOf(name) == nil {
				unknown[p.Path] = name
			}
			return ast.WalkContinue, nil
		})
	}
	for _, path := range slices.Sorted(maps.Keys(unknown)) {
		t.Errorf("%s: no language is called %q", path, unknown[path])
	}
}

var _ http.Handler = (*Site)(nil)

func FuzzPagesAreRenderedWithoutHTMLOfTheirOwn(f *testing.F) {
	f.Add("# T\n\n| a |\n|---|\n| `JOB_NOT_FOUND` |\n\n```go\nx\n```\n```sh\ny\n```\n")
	f.Add("[x](javascript:alert(1)) <script>alert(1)</script> ![](javascript:x)")
	f.Fuzz(func(t *testing.T, source string) {
		page := string(parse("/docs/t", []byte(source)).html())
		if strings.Contains(strings.ToLower(page), "<script") || strings.Contains(page, `href="javascript:`) {
			t.Errorf("%q becomes %q", source, page)
		}
	})
}

func TestTheReferenceExplainsEveryRoute(t *testing.T) {
	s := newSite(t)
	whole := get(s, "GET", "/docs/api.md").Body.String()
	r, err := readReference(described(t))
	if err != nil {
		t.Fatal(err)
	}
	routes := 0
	for _, g := range r.groups {
		page := get(s, "GET", g.Page()).Body.String()
		for _, o := range g.Operations {
			routes++
			for _, part := range []string{"<code>" + o.Path + "</code>", "TALLYGATE_URL"} {
				if !strings.Contains(page, part) {
					t.Errorf("%s: the page lacks %q", o.ID, part)
				}
			}
			if !strings.Contains(whole, "`"+o.Method+" "+o.Path+"` (operation `"+o.ID+"`)") {
				t.Errorf("%s is not in /docs/api.md", o.ID)
			}
			if o.Summary == "" || o.Answer.Example() == nil || len(o.Codes) == 0 || (o.Method != "GET" && o.Permission == "") {
				t.Errorf("%s is not whole: %+v", o.ID, o)
			}
			if o.Body != nil && len(o.Body.Examples) == 0 {
				t.Errorf("%s: the body has no example", o.ID)
			}
			for _, p := range o.parameters {
				if p.example == nil {
					t.Errorf("%s: %s has no example", o.ID, p.name)
				}
			}
		}
	}
	if routes < 44 {
		t.Errorf("only %d routes", routes)
	}
}

func TestFieldsAreExplained(t *testing.T) {
	document := `{"tags": [{"name": "t"}], "components": {"schemas": {
		"Money": {"type": "string", "description": "An amount."},
		"A": {"type": "object", "required": ["k"], "properties": {"k": {"const": "a"}}},
		"B": {"type": "object", "properties": {"again": {"$ref": "#/components/schemas/B"}}}}},
		"paths": {"/x": {"post": {"operationId": "x", "tags": ["t"], "responses": {"200": {"content": {"application/json": {"schema": {"type": "object", "required": ["cost"], "properties": {
			"cost": {"anyOf": [{"$ref": "#/components/schemas/Money"}, {"type": "null"}], "default": "0"},
			"kind": {"oneOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}]},
			"list": {"type": "array", "maxItems": 5, "items": {"$ref": "#/components/schemas/A"}},
			"map": {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1, "maximum": 9}},
			"none": {"type": "null"},
			"size": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
			"state": {"type": "string", "enum": ["on", "off"]}}}, "examples": {}}}}}}}}}`
	r, err := readReference([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	writeFields(&b, r.groups[0].Operations[0].Answer.Fields, "")
	const want = "- `cost` (money or null, required; default `0`): An amount.\n" +
		"- `kind` (object): \n  - a:\n    - `k` (any value, required; always `a`): \n  - b:\n    - `again` (b): \n" +
		"- `list` (list of objects; at most `5`): \n  - `k` (any value, required; always `a`): \n" +
		"- `map` (object of integers): \n- `none` (null): \n- `size` (integer or null; from `1` to `9`): \n- `state` (string; one of `on`, `off`): \n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

func TestEveryRouteHasASampleInEachLanguage(t *testing.T) {
	r, err := readReference(described(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range r.groups {
		for _, o := range g.Operations {
			if o.ID != "getOpenAPI" && (methods[o.ID] == "" || tellings[o.Answer.schema].name == "") {
				t.Errorf("%s: no SDK's method, or nothing to print of %q, is known", o.ID, o.Answer.schema)
			}
			if len(o.Samples) != len(sampleLanguages) {
				t.Errorf("%s has %d samples", o.ID, len(o.Samples))
			}
			for _, s := range o.Samples {
				if s.Code == "" || !strings.HasSuffix(s.Code, "\n") {
					t.Errorf("%s in %s: %q", o.ID, s.Language, s.Code)
				}
				if s.Language == "go" && !strings.Contains(s.Code, "\tr") {
					t.Errorf("%s: the formatter did not understand\n%s", o.ID, s.Code)
				}
			}
		}
	}
}

func TestSamplesSayTheSameInTheirLanguages(t *testing.T) {
	samples, err := Samples(described(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"sh": `curl "$TALLYGATE_URL/v1/worker/jobs/job_01kg9ys7g0m4q8w2r6t0y4c8d2/heartbeat" \
  --header "Authorization: Bearer $TALLYGATE_KEY" \
  --header "Content-Type: application/json" \
  --data '{
    "token": "1-abc",
    "progress": 0.4,
    "logs": ["page 4 of 10"]
  }'
`,
		"go": `client, err := tallygate.New() // TALLYGATE_URL, TALLYGATE_KEY
if err != nil {
	return err
}
beat, err := client.Worker.Heartbeat(ctx, "job_01kg9ys7g0m4q8w2r6t0y4c8d2", tallygate.Heartbeat{
	Token:    "1-abc",
	Progress: new(0.4),
	Logs:     []string{"page 4 of 10"},
})
if err != nil {
	return err
}
fmt.Println(beat.CancelRequested)
`,
		"python": `from tallygate import Tallygate

client = Tallygate()  # TALLYGATE_URL, TALLYGATE_KEY
beat = client.worker.heartbeat(
    "job_01kg9ys7g0m4q8w2r6t0y4c8d2",
    token="1-abc",
    progress=0.4,
    logs=["page 4 of 10"],
)
print(beat.cancel_requested)
`,
		"ts": `import { Tallygate } from "tallygate";

const client = new Tallygate(); // TALLYGATE_URL, TALLYGATE_KEY
const beat = await client.worker.heartbeat("job_01kg9ys7g0m4q8w2r6t0y4c8d2", {
  token: "1-abc",
  progress: 0.4,
  logs: ["page 4 of 10"],
});
console.log(beat.cancel_requested);
`,
	}
	for _, s := range samples {
		if s.Operation == "heartbeatJob" && s.Code != want[s.Language] {
			t.Errorf("%s:\n%s\nwant\n%s", s.Language, s.Code, want[s.Language])
		}
	}
}
