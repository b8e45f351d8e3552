package sqlite_test

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/store/sqlite"
)

func TestASecondServerOnTheFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	open(t, path, nil)
	out, err := child(t, "hold", path).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "is in use by another server") || !strings.Contains(string(out), path) {
		t.Errorf("the second server: %v: %s", err, out)
	}
}

func TestAKilledServerLeavesTheLockFreeAndLosesNothingItTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	told := 0
	for range 3 { // each goes on from what the one before left
		cmd := child(t, "hold", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for told = 0; told < 20 && lines.Scan(); told++ {
			if lines.Text() != fmt.Sprint(told) {
				t.Fatalf("the server said %q", lines.Text())
			}
		}
		if s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path}); err == nil {
			_ = s.Close()
			t.Fatal("the file was not held")
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it had told before the end
			told++
		}
		_ = cmd.Wait()

		s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for i := range told {
			if !noted(t, s, fmt.Sprint(i)) {
				t.Errorf("note %d of %d is gone", i, told)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} { // the next begins anew
			if err := os.Remove(path + suffix); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
	}
}

func TestACopyOfARunningDatabaseAndItsLogHoldsEverything(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "test.db")
	s := open(t, path, nil)
	for i := range 5 {
		if err := note(s, fmt.Sprint(i), []byte(strings.Repeat("x", 5000))); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		torn int // bytes that are missing at the end of the log
		want int // notes
	}{{"whole", 0, 5}, {"torn", 100, 4}} {
		t.Run(c.name, func(t *testing.T) {
			to := filepath.Join(dir, c.name+".db")
			for _, suffix := range []string{"", "-wal"} {
				data, err := os.ReadFile(path + suffix)
				if err != nil {
					t.Fatal(err)
				}
				if suffix != "" {
					data = data[:len(data)-c.torn]
				}
				if err := os.WriteFile(to+suffix, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			copied := open(t, to, nil)
			for i := range 5 {
				if got := noted(t, copied, fmt.Sprint(i)); got != (i < c.want) {
					t.Errorf("note %d is there: %v", i, got)
				}
			}
			if err := note(copied, "next", nil); err != nil {
				t.Error(err)
			}
		})
	}
}
