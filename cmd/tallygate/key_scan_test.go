package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/access"
)

func TestLeakedKeysAreFound(t *testing.T) {
	t.Parallel()
	key := access.MakeUnknownKey()
	id, _, err := access.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	wrong := key[:len(key)-1] + map[bool]string{true: "1", false: "0"}[key[len(key)-1] == '0']
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("src/main.py", "import os\nKEY = '"+key+"'\n")
	write("src/typo.py", "KEY = '"+wrong+"'\n")
	write("image.bin", "\x00\x01"+key)
	write(".git/config", key)
	write("dump.bin", strings.Repeat("\x00", mostBinary)+key)
	write("log.txt", strings.Repeat("a line of a long log\n", mostBinary/20)+key+"\n")
	if err := os.Symlink(filepath.Join(dir, "src"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}

	r := tally(t.Context(), "", "key", "scan", dir)
	want := []string{
		filepath.Join(dir, "image.bin") + ":1:" + string(id),
		filepath.Join(dir, "log.txt") + ":419431:" + string(id),
		filepath.Join(dir, "src/main.py") + ":2:" + string(id),
	}
	if r.code != exitFound || r.stdout != strings.Join(want, "\n")+"\n" {
		t.Errorf("exit %d:\n%swant\n%s", r.code, r.stdout, strings.Join(want, "\n"))
	}
	if !strings.HasPrefix(r.stderr, "3 keys found in 4 files, 2 skipped\nremedy: revoke") || strings.Contains(r.stdout+r.stderr, key) {
		t.Errorf("told %q", r.stderr)
	}

	if r := tally(t.Context(), "", "key", "scan", filepath.Join(dir, "link"), "--json"); r.code != exitFound || !strings.Contains(r.stdout, `"line":2,"key_id":"`+string(id)+`"}],"files":2,"skipped":0,"unreadable":0}`) {
		t.Errorf("exit %d: %s", r.code, r.stdout)
	}
	if r := tally(t.Context(), "a\n"+key, "key", "scan", "-"); r.code != exitFound || r.stdout != "-:2:"+string(id)+"\n" {
		t.Errorf("exit %d: %s", r.code, r.stdout)
	}
	if r := tally(t.Context(), "", "key", "scan", filepath.Join(dir, "src/typo.py")); r.code != exitOK || r.stdout != "" {
		t.Errorf("exit %d: %s", r.code, r.stdout)
	}
	if r := tally(t.Context(), "", "key", "scan", filepath.Join(dir, "none")); r.code != exitUsage {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
}
