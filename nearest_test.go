package tallygate_test

import (
	"strings"
	"testing"

	"github.com/tallygate/tallygate"
)

func TestNearest(t *testing.T) {
	types := []string{"text.stats", "image.thumbnail", "links.archive"}
	for _, c := range []struct{ name, word, want string }{
		{"the word itself", "text.stats", "text.stats"},
		{"a letter missing", "text.stat", "text.stats"},
		{"a letter too many", "image.thumbnails", "image.thumbnail"},
		{"two letters swapped", "txet.stats", "text.stats"},
		{"nothing is near", "audio.transcribe", ""},
		{"an empty word is near nothing", "", ""},
		{"a long word is not looked at", strings.Repeat("x", 65), ""},
	} {
		if got := tallygate.Nearest(c.word, types); got != c.want {
			t.Errorf("%s: nearest to %q is %q, want %q", c.name, c.word, got, c.want)
		}
	}
	if got := tallygate.Nearest("bat", []string{"cat", "rat", "bat"}); got != "bat" {
		t.Errorf("of several near ones the nearest is %q", got)
	}
	if got := tallygate.Nearest("anything", nil); got != "" {
		t.Errorf("of none the nearest is %q", got)
	}
}
