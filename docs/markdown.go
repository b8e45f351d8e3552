package docs

import (
	"bytes"
	"fmt"
	"html/template"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"github.com/tallygate/tallygate"
)

// document is Markdown, parsed and rearranged for the site: without its title, with links to the site's addresses,
// names of codes linked to their pages, and neighbouring blocks of code in different languages put together.
type document struct {
	root     ast.Node
	source   []byte
	headings []heading
}

// heading is a section of a document.
type heading struct {
	Level int
	ID    string
	Text  string
}

// markdown reads GitHub's tables and plain addresses, and no HTML.
var markdown = goldmark.New(
	goldmark.WithExtensions(
		extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)),
		extension.Strikethrough, extension.Linkify, extension.TaskList,
	),
	goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(renderer.WithNodeRenderers(util.Prioritized(blocks{}, 100))),
)

// parse reads the Markdown of the page at the path.
func parse(at string, source []byte) *document {
	d := &document{root: markdown.Parser().Parse(text.NewReader(source)), source: source}
	if title, ok := d.root.FirstChild().(*ast.Heading); ok && title.Level == 1 {
		d.root.RemoveChild(d.root, title)
	}
	var spans []*ast.CodeSpan
	var outside []*ast.Link
	_ = ast.Walk(d.root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Heading:
			id, _ := n.AttributeString("id")
			d.headings = append(d.headings, heading{n.Level, string(id.([]byte)), plain(n, source)})
			return ast.WalkSkipChildren, nil
		case *ast.Link:
			link, inside := siteLink(at, string(n.Destination))
			if !inside {
				outside = append(outside, n)
			}
			n.Destination = []byte(link)
			return ast.WalkSkipChildren, nil
		case *ast.CodeSpan:
			spans = append(spans, n)
		}
		return ast.WalkContinue, nil
	})
	for _, link := range outside {
		for child := link.FirstChild(); child != nil; child = link.FirstChild() {
			link.Parent().InsertBefore(link.Parent(), link, child)
		}
		link.Parent().RemoveChild(link.Parent(), link)
	}
	for _, span := range spans {
		linkCode(at, span, source)
	}
	_ = ast.Walk(d.root, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering && n.Type() != ast.TypeInline {
			groupCode(n, source)
		}
		return ast.WalkContinue, nil
	})
	return d
}

// siteLink turns a link between files, which reads well in a tree, into the address of the page. It reports whether there
// is one: other files of the tree are not part of the site.
func siteLink(at, link string) (string, bool) {
	file, anchor, has := strings.Cut(link, "#")
	if file == "" || strings.Contains(file, ":") || strings.HasPrefix(file, "/") {
		return link, true
	}
	target := path.Join(path.Dir(at), file)
	page, markdown := strings.CutSuffix(target, ".md")
	if !markdown || !strings.HasPrefix(target, "/docs/") {
		return "", false
	}
	if has {
		page += "#" + anchor
	}
	return page, true
}

// linkCode leads from the name of an error code to its page.
func linkCode(at string, span *ast.CodeSpan, source []byte) {
	name := plain(span, source)
	target := "/docs/errors/" + name
	if _, ok := tallygate.ParseCode(name); !ok || target == at {
		return
	}
	link := ast.NewLink()
	link.Destination = []byte(target)
	span.Parent().ReplaceChild(span.Parent(), span, link)
	link.AppendChild(link, span)
}

// plain is the text of a node.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		switch n := n.(type) {
		case *ast.Text:
			if entering {
				b.Write(n.Value(source))
				if n.SoftLineBreak() || n.HardLineBreak() {
					b.WriteByte(' ')
				}
			}
		case *ast.String:
			if entering {
				b.Write(n.Value)
			}
		case *ast.AutoLink:
			if entering {
				b.Write(n.Label(source))
			}
		case *ast.FencedCodeBlock, *ast.CodeBlock:
			if entering {
				b.WriteString(codeText(n, source))
			}
		default:
			if !entering && (n.Type() == ast.TypeBlock) {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return strings.TrimSpace(b.String())
}

// codeText is the content of a block of code.
func codeText(n ast.Node, source []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(source))
	}
	return b.String()
}

// html renders the document.
func (d *document) html() template.HTML {
	var b bytes.Buffer
	if err := markdown.Renderer().Render(&b, d.source, d.root); err != nil {
		panic(fmt.Errorf("docs: rendering: %w", err)) // a buffer takes everything
	}
	return template.HTML(b.String()) // our own pages, and no HTML is let through
}

// codeGroup holds neighbouring blocks of code that say the same in different languages.
type codeGroup struct{ ast.BaseBlock }

var kindCodeGroup = ast.NewNodeKind("CodeGroup")

func (*codeGroup) Kind() ast.NodeKind              { return kindCodeGroup }
func (g *codeGroup) Dump(source []byte, level int) { ast.DumpHelper(g, source, level, nil, nil) }

// groupCode gathers the children of n that are neighbouring blocks in different languages.
func groupCode(n ast.Node, source []byte) {
	if n.Kind() == kindCodeGroup {
		return
	}
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		var run []ast.Node
		seen := map[string]bool{}
		for next := child; next != nil; next = next.NextSibling() {
			key := tabKey(blockLanguage(next, source))
			if key == "" || seen[key] {
				break
			}
			seen[key] = true
			run = append(run, next)
		}
		if len(run) < 2 {
			continue
		}
		group := &codeGroup{}
		n.InsertBefore(n, child, group)
		for _, block := range run {
			group.AppendChild(group, block) // which takes it from n
		}
		child = group
	}
}

func blockLanguage(n ast.Node, source []byte) string {
	if block, ok := n.(*ast.FencedCodeBlock); ok {
		return string(block.Language(source))
	}
	return ""
}

// blocks renders what the site shows otherwise than goldmark does.
type blocks struct{}

func (b blocks) RegisterFuncs(reg renderer.NodeRendererFuncRegisterer) {
	reg.Register(ast.KindHeading, b.heading)
	reg.Register(ast.KindFencedCodeBlock, b.code)
	reg.Register(ast.KindCodeBlock, b.code)
	reg.Register(kindCodeGroup, b.group)
	reg.Register(extast.KindTable, b.table)
}

func (blocks) heading(w util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	level := n.(*ast.Heading).Level
	id, _ := n.AttributeString("id")
	if entering {
		fmt.Fprintf(w, `<h%d id="%s">`, level, id)
	} else {
		fmt.Fprintf(w, ` <a class="anchor" href="#%s" aria-label="Link to this section">#</a></h%d>`+"\n", id, level)
	}
	return ast.WalkContinue, nil
}

func (blocks) table(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString(`<div class="table" tabindex="0"><table>` + "\n")
	} else {
		_, _ = w.WriteString("</table></div>\n")
	}
	return ast.WalkContinue, nil
}

func (blocks) code(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	block := codeBlock{text: codeText(n, source)}
	if fenced, ok := n.(*ast.FencedCodeBlock); ok && fenced.Info != nil {
		block.language = string(fenced.Language(source))
		for word := range strings.FieldsSeq(string(fenced.Info.Value(source))) {
			if file, ok := strings.CutPrefix(word, "file="); ok {
				block.file = file
			}
		}
	}
	_, inGroup := n.Parent().(*codeGroup)
	block.render(w, inGroup)
	return ast.WalkContinue, nil
}

func (blocks) group(w util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		_, _ = w.WriteString("</div>\n")
		return ast.WalkContinue, nil
	}
	var languages []string
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		languages = append(languages, blockLanguage(child, source))
	}
	openTabs(w, languages)
	return ast.WalkContinue, nil
}
