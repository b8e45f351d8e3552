package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/tallygate/tallygate"
)

// pages are all Markdown files that link to each other, by path from the root of the tree.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md", "errors/*.md", "../sdk/*/README.md", "../sdk/*/*.md", "../examples/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.ToSlash(filepath.Join("docs", path))] = string(text)
		}
	}
	return all
}

var (
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	spans   = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
)

// anchors are the fragments under which a page's headings are found.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, h[1])
		found[name] = true
	}
	return found
}

func TestEveryLinkBetweenPagesLeadsSomewhere(t *testing.T) {
	all := pages(t)
	for path, text := range all {
		prose := spans.ReplaceAllString(fenced.ReplaceAllString(text, ""), "")
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			target, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") || strings.HasPrefix(target, "/") {
				continue // elsewhere, or an address of the site
			}
			file := path
			if target != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(path), target))
			}
			if _, err := os.Stat(filepath.Join("..", file)); err != nil {
				t.Errorf("%s links to %s, which is not there", path, match[1])
				continue
			}
			if fragment != "" && !anchors(all[file])[fragment] {
				t.Errorf("%s links to %s: there is no such heading", path, match[1])
			}
		}
	}
}

// sections are what the page of a code has, in order.
var sections = []string{"Causes", "What to do", "Retry", "Where it shows", "Catch it"}

func TestEveryCodeHasItsPage(t *testing.T) {
	all := pages(t)
	for _, code := range tallygate.Codes() {
		f := code.Facts()
		path := "docs/errors/" + f.Name + ".md"
		text, found := all[path]
		if !found {
			t.Errorf("%s is missing", path)
			continue
		}
		if !strings.HasPrefix(text, "# "+f.Name+"\n") {
			t.Errorf("%s does not begin with its title", path)
		}
		var have []string
		for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			have = append(have, h[1])
		}
		if got, want := strings.Join(have, ", "), strings.Join(append([]string{f.Name}, sections...), ", "); got != want {
			t.Errorf("%s has the sections %s; want %s", path, got, want)
		}
		delete(all, path)
	}
	for path := range all {
		if strings.HasPrefix(path, "docs/errors/") {
			t.Errorf("%s is about no code", path)
		}
	}
}

// cause is a row of the causes' table: what the message says after the contract's sentence.
var cause = regexp.MustCompile("(?m)^\\| `([^`]+)`")

// TestEveryCauseIsOneOfTheServer makes sure that the server says what the pages of codes quote of its messages.
func TestEveryCauseIsOneOfTheServer(t *testing.T) {
	said := messages(t)
	for path, text := range pages(t) {
		if !strings.HasPrefix(path, "docs/errors/") {
			continue
		}
		found := cause.FindAllStringSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s tells no cause", path)
		}
		for _, match := range found {
			if !slices.ContainsFunc(said, func(message *regexp.Regexp) bool { return message.MatchString(match[1]) }) {
				t.Errorf("%s quotes %q, which the server does not say", path, match[1])
			}
		}
	}
}

// verb is a verb of a format.
var verb = regexp.MustCompile(`%[-+# 0-9.]*[a-zA-Z]`)

// messages match what the server may say, made of its formats.
func messages(t *testing.T) (all []*regexp.Regexp) {
	t.Helper()
	for _, code := range tallygate.Codes() {
		all = append(all, regexp.MustCompile("^"+regexp.QuoteMeta(code.Facts().Remedy)+"$"))
	}
	for _, room := range []string{"..", "../access", "../api", "../executor", "../ledger", "../queue", "../store", "../store/sqlite", "../store/postgres"} {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				format, err := strconv.Unquote(lit.Value)
				if err != nil {
					return true
				}
				parts := verb.Split(format, -1)
				if len(strings.Join(parts, "")) < 10 { // too little to tell one message from another
					return true
				}
				for i := range parts {
					parts[i] = regexp.QuoteMeta(parts[i])
				}
				all = append(all, regexp.MustCompile(strings.Join(parts, ".*")))
				return true
			})
		}
	}
	return all
}

// quoted finds error bodies within a page.
var quoted = regexp.MustCompile(`"code": ?"([A-Z_]+)", ?"message": ?"([^"]*)`)

func TestEveryQuotedMessageBeginsAsTheContractSays(t *testing.T) {
	for path, text := range pages(t) {
		for _, match := range quoted.FindAllStringSubmatch(text, -1) {
			code, known := tallygate.ParseCode(match[1])
			if !known {
				t.Errorf("%s quotes the code %s, which does not exist", path, match[1])
				continue
			}
			if !strings.HasPrefix(match[2], code.Facts().Message) && match[2] != "…" {
				t.Errorf("%s: the message %q of %s does not begin with %q", path, match[2], match[1], code.Facts().Message)
			}
		}
	}
}
