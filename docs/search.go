package docs

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/yuin/goldmark/ast"
)

// entry is one section of a page, as the search in the browser finds it. Members have short names, since the index is
// loaded whole.
type entry struct {
	URL   string `json:"u"`
	Title string `json:"t"` // of the page
	Head  string `json:"h,omitempty"`
	Text  string `json:"b"`
}

// index is what the search looks through.
func (s *Site) index() []byte {
	var entries []entry
	for _, p := range s.order {
		entries = append(entries, entriesOf(p)...)
	}
	body, err := json.Marshal(entries)
	if err != nil {
		panic(fmt.Errorf("docs: search index: %w", err))
	}
	return body
}

func entriesOf(p *page) []entry {
	if p.Group != nil {
		return p.Group.entries()
	}
	d := parse(p.Path, p.source)
	entries := []entry{{URL: p.Path, Title: p.Title, Text: p.Description}}
	for n := d.root.FirstChild(); n != nil; n = n.NextSibling() {
		if h, ok := n.(*ast.Heading); ok {
			id, _ := h.AttributeString("id")
			entries = append(entries, entry{URL: fmt.Sprintf("%s#%s", p.Path, id), Title: p.Title, Head: plain(h, d.source)})
			continue
		}
		last := &entries[len(entries)-1]
		last.Text = strings.TrimSpace(last.Text + " " + strings.Join(strings.Fields(plain(n, d.source)), " "))
	}
	return entries
}

// entries are one for each route: what it is called in any language, what it says, and the names of what it takes.
func (g *group) entries() []entry {
	entries := []entry{{URL: g.Page(), Title: "API: " + g.Title(), Text: g.Description}}
	for _, o := range g.Operations {
		text := []string{o.Method, o.Path, o.ID + ":", o.Description, o.Permission}
		for _, f := range o.Parameters {
			text = append(text, f.Name)
		}
		if o.Body != nil {
			for _, f := range o.Body.Fields {
				text = append(text, f.Name)
			}
		}
		entries = append(entries, entry{URL: g.Page() + "#" + o.Anchor, Title: "API: " + g.Title(), Head: o.Summary, Text: strings.Join(strings.Fields(strings.Join(text, " ")), " ")})
	}
	return entries
}
