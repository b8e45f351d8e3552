package sqlite_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/store/sqlite"
	zombiezen "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// ours makes a database of ours and returns its path.
func ours(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// script runs SQL on the file as any program would.
func script(t *testing.T, path, sql string) string {
	t.Helper()
	c, err := zombiezen.OpenConn(path, zombiezen.OpenReadWrite|zombiezen.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteScript(c, sql, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// rewritten changes the bytes of the file.
func rewritten(t *testing.T, path string, change func([]byte) []byte) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFilesThatAreNotOursAreRefusedAndLeftAlone(t *testing.T) {
	text := func(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }
	for _, c := range []struct {
		name string
		file func(t *testing.T) string
		want string // in the message
	}{
		{"another program's database", func(t *testing.T) string {
			return script(t, filepath.Join(t.TempDir(), "other.db"), `CREATE TABLE t (x); INSERT INTO t VALUES (1);`)
		}, "another program's"},
		{"another program's empty database", func(t *testing.T) string {
			return script(t, filepath.Join(t.TempDir(), "other.db"), `PRAGMA application_id = 7;`)
		}, "another program's"},
		{"a database with versions of another program", func(t *testing.T) string {
			return script(t, filepath.Join(t.TempDir(), "other.db"), `PRAGMA user_version = 1; CREATE TABLE clients (x);`)
		}, "another program's"},
		{"a newer version's database", func(t *testing.T) string {
			return script(t, ours(t), `PRAGMA user_version = 9999;`)
		}, "run the newer version"},
		{"a database without its schema", func(t *testing.T) string {
			return script(t, filepath.Join(t.TempDir(), "gone.db"), `PRAGMA application_id = 1414285140; PRAGMA user_version = 1;`)
		}, "damaged"},
		{"a text file", func(t *testing.T) string {
			return rewritten(t, filepath.Join(t.TempDir(), "notes.txt"), text(strings.Repeat("to do\n", 1000)))
		}, "not a SQLite database"},
		{"a short text file", func(t *testing.T) string {
			return rewritten(t, filepath.Join(t.TempDir(), "notes.txt"), text("to do\n"))
		}, "not a SQLite database"},
		{"a damaged header", func(t *testing.T) string {
			return rewritten(t, ours(t), func(b []byte) []byte { copy(b, make([]byte, 16)); return b })
		}, "not a SQLite database"},
		{"a damaged first page", func(t *testing.T) string {
			return rewritten(t, ours(t), func(b []byte) []byte { copy(b[100:4096], bytes.Repeat([]byte{0xff}, 3996)); return b })
		}, "malformed"},
		{"a file cut short", func(t *testing.T) string {
			return rewritten(t, ours(t), func(b []byte) []byte { return b[:4096] })
		}, "malformed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.file(t)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for name, open := range map[string]func() (interface{ Close() error }, error){
				"a server": func() (interface{ Close() error }, error) {
					return sqlite.Open(t.Context(), sqlite.Options{Path: path})
				},
				"a reader": func() (interface{ Close() error }, error) { return sqlite.OpenReader(t.Context(), path) },
			} {
				s, err := open()
				if err == nil {
					_ = s.Close()
					t.Errorf("%s opened it", name)
				} else if !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s: the message %q tells neither %q nor the path", name, err, c.want)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestAnEmptyFileBecomesADatabase(t *testing.T) {
	path := rewritten(t, filepath.Join(t.TempDir(), "test.db"), func([]byte) []byte { return nil })
	if err := note(open(t, path, nil), "first", nil); err != nil {
		t.Error(err)
	}
}

func TestADatabaseIsItsOwnersAlone(t *testing.T) {
	info, err := os.Stat(ours(t))
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the file's mode is %o", mode)
	}
}

func TestAFileThatMayOnlyBeReadIsRefused(t *testing.T) {
	path := ours(t)
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "refused", filepath.Base(path))
	cmd.Dir = filepath.Dir(path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAPathThatCannotBeOpenedIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no such folder", "test.db")
	if _, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v", err)
	}
	if _, err := sqlite.OpenReader(t.Context(), path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open a reader: %v", err)
	}
}

func TestAReaderDoesNotMakeAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	if _, err := sqlite.OpenReader(t.Context(), path); err == nil {
		t.Error("a reader opened what is not there")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is there: %v", err)
	}
}

func TestDatabasesOfOlderVersionsAreNotReadBeforeTheyAreBroughtForward(t *testing.T) {
	path := script(t, filepath.Join(t.TempDir(), "old.db"), `CREATE TABLE settings (x); PRAGMA application_id = 1414285140; PRAGMA user_version = 0;`)
	if _, err := sqlite.OpenReader(t.Context(), path); err == nil {
		t.Error("a reader opened it")
	}
}
