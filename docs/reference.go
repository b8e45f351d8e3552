package docs

import (
	"fmt"
	"html/template"
	"slices"
	"strings"

	"github.com/tallygate/tallygate"
)

const referencePath = "/docs/api"

// reference is the API's description, as pages show it.
type reference struct {
	document *node
	groups   []*group
}

// group is the operations of one tag.
type group struct {
	Name        string
	Description string
	Operations  []*operation
}

// operation is one route.
type operation struct {
	ID          string // the operationId
	Anchor      string // on its page
	Method      string
	Path        string
	Summary     string
	Description string // Markdown
	Permission  string // empty: no key is needed
	Operators   bool   // alone may have the permission
	Cost        string // of the rate limit
	Parameters  []*field
	Body        *body
	Answer      *body
	Codes       []tallygate.CodeFacts
	Samples     []Sample

	parameters []parameter
	reference  *reference
}

// parameter is what a request bears beside its body.
type parameter struct {
	name, in string
	required bool
	example  *node
}

// body is what a request or a success holds.
type body struct {
	Description string
	Type        string
	Fields      []*field
	Examples    []example

	schema string // the name of its schema
	node   *node  // its schema
}

// example is a body as it may be.
type example struct {
	Summary string
	Text    string

	value *node
}

// operationMethods are the members of a path that are operations.
var operationMethods = []string{"get", "put", "post", "patch", "delete"}

// readReference reads an OpenAPI document.
func readReference(text []byte) (*reference, error) {
	document, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	r := &reference{document: document}
	for _, tag := range document.get("tags").items() {
		r.groups = append(r.groups, &group{Name: tag.text("name"), Description: tag.text("description")})
	}
	paths := document.get("paths")
	for i, item := range paths.items() {
		for k, op := range item.items() {
			if !slices.Contains(operationMethods, item.names[k]) {
				continue
			}
			tag := op.get("tags").texts()
			at := slices.IndexFunc(r.groups, func(g *group) bool { return len(tag) > 0 && g.Name == tag[0] })
			if at < 0 {
				return nil, fmt.Errorf("%s has no tag of the document", op.text("operationId"))
			}
			o, err := r.operation(strings.ToUpper(item.names[k]), paths.names[i], op)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", op.text("operationId"), err)
			}
			r.groups[at].Operations = append(r.groups[at].Operations, o)
		}
	}
	return r, nil
}

// resolve follows references.
func (r *reference) resolve(n *node) *node {
	for ref := n.text("$ref"); ref != ""; ref = n.text("$ref") {
		if n = r.document.get(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...); n == nil {
			return nil
		}
	}
	return n
}

// needs begins the sentence of a description that tells what Permission does.
const needs = "Needs the permission `"

func (r *reference) operation(method, path string, op *node) (*operation, error) {
	o := &operation{
		ID: op.text("operationId"), Method: method, Path: path, Summary: op.text("summary"),
		Permission: op.text("x-permission"), Cost: op.text("x-cost"), reference: r,
	}
	o.Description = strings.TrimSpace(op.text("description"))
	if before, sentence, ok := strings.Cut(o.Description, needs); ok {
		o.Description = strings.TrimSpace(before)
		o.Operators = strings.Contains(sentence, "operators")
	}
	for _, p := range op.get("parameters").items() {
		if p = r.resolve(p); p == nil {
			return nil, fmt.Errorf("a parameter is not there")
		}
		f := r.field(p.text("name"), p.get("schema"), nil)
		if description := p.text("description"); description != "" {
			f.Description = description
		}
		f.Required, f.In = p.text("required") == "true", p.text("in")
		o.Parameters = append(o.Parameters, f)
		o.parameters = append(o.parameters, parameter{f.Name, f.In, f.Required, p.get("example")})
	}
	if request := r.resolve(op.get("requestBody")); request != nil {
		o.Body = r.body(request)
	}
	if o.Answer = r.body(r.resolve(op.get("responses", "200"))); o.Answer == nil {
		return nil, fmt.Errorf("no success is described")
	}
	for _, name := range op.get("x-codes").texts() {
		code, ok := tallygate.ParseCode(name)
		if !ok {
			return nil, fmt.Errorf("there is no code %q", name)
		}
		o.Codes = append(o.Codes, code.Facts())
	}
	for _, l := range sampleLanguages {
		o.Samples = append(o.Samples, Sample{Operation: o.ID, Permission: o.Permission, Language: l.name, Code: l.write(o)})
	}
	return o, nil
}

// body reads a request's body, or a success; nil where there is none.
func (r *reference) body(n *node) *body {
	content := n.get("content")
	if len(content.items()) == 0 {
		return nil
	}
	media := content.values[0]
	b := &body{Description: n.text("description"), schema: refName(media.get("schema")), node: media.get("schema")}
	f := r.field("", media.get("schema"), nil)
	if data := media.get("schema", "x-event-data"); data != nil { // of each event in a stream
		f, b.schema = r.field("", data, nil), refName(data)
		f.Type = "event stream"
	}
	b.Type, b.Fields = f.Type, f.Fields
	if b.Description == "" {
		b.Description = f.Description
	}
	for _, e := range media.get("examples").items() {
		e = r.resolve(e)
		text := e.get("value").json()
		if s, ok := e.get("value").scalar.(string); ok && content.names[0] == "text/event-stream" {
			text = s
		}
		b.Examples = append(b.Examples, example{e.text("summary"), text, e.get("value")})
	}
	return b
}

// Page is the address of the group's page.
func (g *group) Page() string { return referencePath + "/" + strings.ReplaceAll(g.Name, " ", "-") }

// anchor gives the next operation without one that of its heading.
func (g *group) anchor(h heading) {
	for _, o := range g.Operations {
		if o.Anchor == "" {
			o.Anchor = h.ID
			return
		}
	}
}

// Title is the group's name as a heading.
func (g *group) Title() string {
	if rest, ok := strings.CutPrefix(g.Name, "api "); ok {
		return "API " + rest
	}
	return strings.ToUpper(g.Name[:1]) + g.Name[1:]
}

// HTML renders a description.
func (o *operation) HTML() template.HTML { return prose(o.Description) }

// Example is the first example of a success.
func (b *body) Example() *codeBlock {
	if b == nil || len(b.Examples) == 0 {
		return nil
	}
	language := "json"
	if b.Type == "event stream" {
		language = "text"
	}
	return &codeBlock{language: language, text: b.Examples[0].Text}
}

// Tabs renders the samples.
func (o *operation) Tabs() template.HTML {
	var b strings.Builder
	var names []string
	for _, s := range o.Samples {
		names = append(names, s.Language)
	}
	if len(names) > 1 {
		openTabs(&b, names)
	}
	for _, s := range o.Samples {
		block := codeBlock{language: s.Language, text: s.Code}
		block.render(&b, len(names) > 1)
	}
	if len(names) > 1 {
		b.WriteString("</div>")
	}
	return template.HTML(b.String())
}

// HTML renders the block.
func (b *codeBlock) HTML() template.HTML {
	var out strings.Builder
	b.render(&out, false)
	return template.HTML(out.String())
}

// prose renders a text of the description.
func prose(markdown string) template.HTML { return parse("", []byte(markdown)).html() }

// phrase renders one paragraph of it, without its tags.
func phrase(markdown string) template.HTML {
	html := strings.TrimSpace(string(prose(markdown)))
	if inner, ok := strings.CutPrefix(html, "<p>"); ok && strings.Count(html, "<p>") == 1 {
		html = strings.TrimSuffix(inner, "</p>")
	}
	return template.HTML(html)
}
