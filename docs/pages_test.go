package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
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
