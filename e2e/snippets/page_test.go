package snippets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// page is a Markdown file with its fenced blocks, in order.
type page struct {
	path   string // from the root of the tree, such as docs/errors.md
	blocks []*block
}

// block is one fenced block.
type block struct {
	page     string
	line     int
	language string
	args     map[string]string // name=value words of the info string
	text     string
	shows    *block // of text: the program before it under the same heading, whose output it shows; nil: none
}

func (b *block) String() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// language says what is done with blocks of it.
var languages = map[string]struct {
	suffix string // of the file that a program is written to
	runs   bool
}{
	"sh":     {"sh", true},
	"python": {"py", true},
	"js":     {"mjs", true},
	"ts":     {"mts", true},
	"go":     {"go", true},
	"yaml":   {}, // written to its file
	"json":   {}, // parsed
	"text":   {}, // compared with the output of what is above it
	"":       {},
}

func (b *block) runs() bool {
	return languages[b.language].runs && b.args["file"] == "" && b.args["norun"] == ""
}

// parse cuts a page into its blocks.
func parse(path string, source string) (page, error) {
	p := page{path: path}
	var open *block
	var last *block // program under the present heading
	fence := ""
	for i, line := range strings.SplitAfter(source, "\n") {
		content := strings.TrimRight(line, "\n")
		bare := strings.TrimLeft(content, " ")
		switch {
		case open == nil && strings.HasPrefix(bare, "```"):
			info := strings.TrimLeft(bare, "`")
			fence = bare[:len(bare)-len(info)]
			words := strings.Fields(info)
			open = &block{page: path, line: i + 1, args: map[string]string{}}
			for j, word := range words {
				name, value, found := strings.Cut(word, "=")
				switch {
				case found:
					open.args[name] = value
				case j == 0:
					open.language = word
				default:
					return p, fmt.Errorf("%s: the info string %q is no language with name=value words", open, info)
				}
			}
			if _, known := languages[open.language]; !known && open.args["norun"] == "" {
				return p, fmt.Errorf("%s: nothing is known to do with a block of %q", open, open.language)
			}
		case open != nil && bare == fence:
			if open.language == "text" && last != nil {
				open.shows = last
			}
			if open.runs() {
				last = open
			}
			p.blocks = append(p.blocks, open)
			open = nil
		case open != nil:
			open.text += line
		case strings.HasPrefix(content, "#"):
			last = nil
		}
	}
	if open != nil {
		return p, fmt.Errorf("%s: the block does not end", open)
	}
	return p, nil
}

// pages are the documentation's and the READMEs that show code.
func pages(t *testing.T) []page {
	t.Helper()
	paths := []string{"README.md"}
	for _, pattern := range []string{"docs/*.md", "docs/errors/*.md", "sdk/*/README.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			relative, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, filepath.ToSlash(relative))
		}
	}
	slices.Sort(paths)
	var all []page
	for _, path := range paths {
		source, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		p, err := parse(path, string(source))
		if err != nil {
			t.Error(err)
		}
		all = append(all, p)
	}
	return all
}
