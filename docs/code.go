package docs

import (
	"fmt"
	"html"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/chroma/v2"
	formatter "github.com/alecthomas/chroma/v2/formatters/html"
	"github.com/alecthomas/chroma/v2/lexers"
	"github.com/alecthomas/chroma/v2/styles"
)

// codeBlock is a block of code as it is shown: highlighted by classes, with a button that copies it.
type codeBlock struct {
	language string
	file     string // the name that it is saved under; may be empty
	text     string
}

// language is how a language of code blocks is shown. Those with a tab may stand for one another.
type language struct{ label, tab string }

var languages = map[string]language{
	"sh":         {"curl", "curl"},
	"bash":       {"curl", "curl"},
	"go":         {"Go", "go"},
	"python":     {"Python", "python"},
	"ts":         {"TypeScript", "typescript"},
	"typescript": {"TypeScript", "typescript"},
	"js":         {"JavaScript", "typescript"},
	"javascript": {"JavaScript", "typescript"},
}

// tabKey names the choice that a block in the language belongs to; empty: none.
func tabKey(name string) string { return languages[name].tab }

var highlighter = formatter.New(formatter.WithClasses(true), formatter.PreventSurroundingPre(true))

func (b *codeBlock) render(w io.Writer, inTabs bool) {
	if inTabs {
		l := languages[b.language]
		fmt.Fprintf(w, `<section class="panel" data-tab="%s" aria-label="%s"><p class="panel-name">%s</p>`, l.tab, l.label, l.label)
	}
	class := "code"
	switch b.language {
	case "text": // what a program prints
		class += " output"
	case "json":
		class += " wraps"
	}
	fmt.Fprintf(w, `<figure class="%s">`, class)
	if b.file != "" {
		fmt.Fprintf(w, `<figcaption>%s</figcaption>`, html.EscapeString(b.file))
	}
	if b.language != "text" {
		fmt.Fprint(w, `<button class="copy" type="button">Copy</button>`)
	}
	fmt.Fprint(w, `<pre tabindex="0"><code>`)
	if err := b.highlight(w); err != nil {
		fmt.Fprint(w, html.EscapeString(b.text))
	}
	fmt.Fprint(w, "</code></pre></figure>\n")
	if inTabs {
		fmt.Fprint(w, "</section>\n")
	}
}

func (b *codeBlock) highlight(w io.Writer) error {
	lexer := lexerOf(b.language)
	if lexer == nil {
		lexer = lexers.Fallback
	}
	tokens, err := chroma.Coalesce(lexer).Tokenise(nil, b.text)
	if err != nil {
		return err
	}
	return highlighter.Format(w, styles.Fallback, tokens)
}

// lexerOf finds the language; nil: it is not known.
func lexerOf(name string) chroma.Lexer {
	if name == "text" || name == "" {
		return lexers.Fallback
	}
	return lexers.Get(name)
}

// openTabs begins a group of panels. The choices are shown by script alone; without it every panel is, under its name.
func openTabs(w io.Writer, names []string) {
	var keys []string
	for _, name := range names {
		keys = append(keys, tabKey(name))
	}
	fmt.Fprintf(w, `<div class="tabs" data-tabs="%s"><div class="tab-list" role="tablist" aria-label="Language">`, strings.Join(slices.Compact(keys), " "))
	for _, name := range names {
		l := languages[name]
		fmt.Fprintf(w, `<button type="button" role="tab" data-tab="%s">%s</button>`, l.tab, l.label)
	}
	fmt.Fprint(w, "</div>\n")
}
