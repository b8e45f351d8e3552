package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/tallygate/tallygate"
)

type place struct {
	line int
	id   tallygate.KeyID
}

func scan(r io.Reader) (found []place, err error) {
	err = ScanKeys(r, func(line int, id tallygate.KeyID) { found = append(found, place{line, id}) })
	return found, err
}

// scanAll is ScanKeys for a text at hand, in the plainest way.
func scanAll(text string) (found []place) {
	for i := 0; i+keyLength <= len(text); i++ {
		if id, _, err := ParseKey(text[i : i+keyLength]); err == nil {
			found = append(found, place{1 + strings.Count(text[:i], "\n"), id})
			i += keyLength - 1
		}
	}
	return found
}

func TestScanKeys(t *testing.T) {
	key := FormatKey(sampleID, sampleSecret)
	for name, c := range map[string]struct {
		text  string
		lines []int
	}{
		"nothing":                {"", nil},
		"no key":                 {"tg_live_ is how keys begin\n", nil},
		"a key alone":            {key, []int{1}},
		"in source":              {"package x\n\nconst key = \"" + key + "\"\n", []int{3}},
		"wrong checksum":         {key[:len(key)-1] + "0", nil},
		"cut at the end":         {"\n" + key[:len(key)-1], nil},
		"two in a line":          {key + "," + key + "\n", []int{1, 1}},
		"run together":           {key + key, []int{1, 1}},
		"one within a beginning": {"tg_live_" + key, []int{1}},
		"far into a long line":   {strings.Repeat("x", 200_000) + "\n" + strings.Repeat("y\n", 70_000) + key, []int{70_002}},
		"across a read's end":    {strings.Repeat("\n", 64<<10-10) + key, []int{64<<10 - 9}},
		"after a read's end":     {strings.Repeat("\n", 64<<10) + key + "\n" + key, []int{64<<10 + 1, 64<<10 + 2}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := scan(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			var lines []int
			for _, p := range found {
				lines = append(lines, p.line)
				if p.id != sampleID {
					t.Errorf("found %s", p.id)
				}
			}
			if !slices.Equal(lines, c.lines) {
				t.Errorf("found on lines %v, want %v", lines, c.lines)
			}
		})
	}
}

func TestScanKeysReturnsTheReadersError(t *testing.T) {
	broken := errors.New("broken pipe")
	found, err := scan(io.MultiReader(strings.NewReader(FormatKey(sampleID, sampleSecret)), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || len(found) != 1 {
		t.Errorf("%v, %v: want what stood before the error, and the error", found, err)
	}
}

func FuzzScanKeys(f *testing.F) {
	key := FormatKey(sampleID, sampleSecret)
	for _, text := range []string{key, "\n" + key + "\n\n" + key, key[:50] + "\n" + key, "tg_tg_live_tg_live_" + key[8:], key[:len(key)-2] + key} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := fmt.Sprint(scanAll(string(text)))
		for name, r := range map[string]io.Reader{
			"whole":     bytes.NewReader(text),
			"bytewise":  iotest.OneByteReader(bytes.NewReader(text)),
			"with data": iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(text))),
		} {
			found, err := scan(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(found); got != want {
				t.Errorf("%s: found %s, want %s", name, got, want)
			}
		}
	})
}
