// Package docs is the documentation: Markdown that reads well as it is, and the site made of it under /docs, with a page
// per error code, the reference of the API, search, and llms.txt. It is rendered by the server, takes nothing from
// elsewhere and needs no JavaScript. It knows of the API only the root's code table and the OpenAPI document that it is
// given.
package docs

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate"
)

//go:embed *.md errors nav.yaml
var sources embed.FS

//go:embed templates static
var assets embed.FS

// Options say what the site is made of beside its own pages.
type Options struct {
	PublicURL string // stands before the addresses in llms.txt; empty: they stay relative
	OpenAPI   []byte // the description of the API, whose reference the site shows; nil: none
}

// Prefixes are the paths under which a Site answers.
var Prefixes = []string{"/docs", "/llms.txt", "/llms-full.txt"}

// Methods are those that a Site answers.
var Methods = []string{http.MethodGet, http.MethodHead}

// Site is the documentation as an http.Handler for GET and HEAD. What is asked for is rendered once.
type Site struct {
	opt      Options
	sections []*section
	order    []*page // as one reads them through
	files    map[string]func() *file
	missing  func() *file
	views    *template.Template
	links    map[string]string // of static files, by name: with the hash of their content
}

// section is a heading of the navigation and its pages.
type section struct {
	Title string
	Pages []*page
	Fold  bool // its pages are shown only while one of them is read
}

// page is one address that is read, made of Markdown.
type page struct {
	Path        string // below the site's root, such as /docs/jobs
	Title       string
	Label       string // in the navigation, where that is not the title
	Description string
	Section     *section
	Prev, Next  *page

	Code  *tallygate.CodeFacts // that the page is about; nil: none
	Group *group               // of the reference, that the page is about; nil: none

	source []byte // Markdown
}

// New makes the site. It fails only where the embedded files are at fault.
func New(opt Options) (*Site, error) {
	s := &Site{opt: opt, files: map[string]func() *file{}, links: map[string]string{}}
	if err := s.readPages(); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	if err := s.readReference(); err != nil {
		return nil, fmt.Errorf("docs: the OpenAPI document: %w", err)
	}
	if err := s.readCodes(); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	s.link()
	if err := s.readStatic(); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	views, err := template.New("").Funcs(template.FuncMap{"static": func(name string) string { return s.links[name] }}).
		ParseFS(assets, "templates/*.html")
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	s.views = views
	s.addFiles()
	return s, nil
}

// readPages reads the navigation and the pages that it names.
func (s *Site) readPages() error {
	text, err := sources.ReadFile("nav.yaml")
	if err != nil {
		return err
	}
	var nav []struct {
		Title string
		Pages []map[string]string
	}
	if err := yaml.Unmarshal(text, &nav); err != nil {
		return fmt.Errorf("nav.yaml: %w", err)
	}
	for _, n := range nav {
		sec := &section{Title: n.Title}
		for _, entry := range n.Pages {
			for name, description := range entry {
				source, err := sources.ReadFile(name + ".md")
				if err != nil {
					return err
				}
				sec.Pages = append(sec.Pages, &page{Path: "/docs/" + name, Title: titleOf(source), Description: description, Section: sec, source: source})
			}
		}
		s.sections = append(s.sections, sec)
	}
	return nil
}

// titleOf is the first heading of the Markdown.
func titleOf(source []byte) string {
	line, _, _ := bytes.Cut(source, []byte("\n"))
	return strings.TrimSpace(strings.TrimLeft(string(line), "#"))
}

// readCodes makes the page of each error code.
func (s *Site) readCodes() error {
	sec := &section{Title: "Error codes", Fold: true}
	for _, code := range tallygate.Codes() {
		f := code.Facts()
		source, err := sources.ReadFile("errors/" + f.Name + ".md")
		if err != nil {
			return err
		}
		sec.Pages = append(sec.Pages, &page{Path: "/docs/errors/" + f.Name, Title: f.Name, Description: f.Message + ".", Section: sec, source: source, Code: &f})
	}
	s.sections = append(s.sections, sec)
	return nil
}

// readReference makes the pages of the API's reference: an overview, and one for each group of routes.
func (s *Site) readReference() error {
	if s.opt.OpenAPI == nil {
		return nil
	}
	r, err := readReference(s.opt.OpenAPI)
	if err != nil {
		return err
	}
	sec := &section{Title: "API reference"}
	overview := &page{Path: referencePath, Title: "API reference", Label: "Overview", Description: "Keys, answers, values and pages, and every route.", Section: sec}
	sec.Pages = []*page{overview}
	for _, g := range r.groups {
		p := &page{Path: g.Page(), Title: g.Title(), Description: g.Description, Section: sec, Group: g, source: g.markdown()}
		for _, h := range parse(p.Path, p.source).headings {
			if h.Level == 2 {
				g.anchor(h)
			}
		}
		sec.Pages = append(sec.Pages, p)
	}
	overview.source = r.overview()
	s.sections = append(s.sections, sec)
	return nil
}

// link puts the pages into their order.
func (s *Site) link() {
	for _, sec := range s.sections {
		for _, p := range sec.Pages {
			if n := len(s.order); n > 0 {
				p.Prev, s.order[n-1].Next = s.order[n-1], p
			}
			s.order = append(s.order, p)
		}
	}
}

// readStatic takes in the files that pages load.
func (s *Site) readStatic() error {
	return fs.WalkDir(assets, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := assets.ReadFile(name)
		if err != nil {
			return err
		}
		f := newFile(staticTypes[path.Ext(name)], content)
		f.cache = "public, max-age=31536000, immutable"
		s.files["/docs/"+name] = func() *file { return f }
		s.links[path.Base(name)] = "/docs/" + name + "?v=" + f.hash
		return nil
	})
}

var staticTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}
