package docs

import (
	"bytes"
	"fmt"
	"html/template"
)

// view is what a template shows.
type view struct {
	Site     *Site
	Page     *page // nil: the overview, or a page that is missing
	Title    string
	Body     template.HTML
	Headings []heading
	Markdown string // the address of the page's Markdown; empty: none
}

func (v *view) Sections() []*section { return v.Site.sections }

func (s *Site) render(name string, v *view) []byte {
	v.Site = s
	var b bytes.Buffer
	if err := s.views.ExecuteTemplate(&b, name, v); err != nil {
		panic(fmt.Errorf("docs: %w", err)) // the templates are our own, and every page is rendered by a test
	}
	return b.Bytes()
}

func (s *Site) home() []byte { return s.render("home", &view{Title: "Tallygate"}) }

func (s *Site) notFound() []byte { return s.render("missing", &view{Title: "Not found"}) }

func (s *Site) article(p *page) []byte {
	if p.Group != nil {
		return s.render("reference", &view{Page: p, Title: p.Title, Markdown: p.Path + ".md"})
	}
	d := parse(p.Path, p.source)
	v := &view{Page: p, Title: p.Title, Body: d.html(), Markdown: p.Path + ".md"}
	for _, h := range d.headings {
		if h.Level <= 3 {
			v.Headings = append(v.Headings, h)
		}
	}
	return s.render("article", v)
}
