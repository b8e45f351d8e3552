package sqlite_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/sqlite"
)

func TestAReaderReadsBesideARunningStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, nil)
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := note(s, "after the reader left", nil); err != nil {
			t.Error(err)
		}
	}()
	for i := range 3 {
		key := fmt.Sprint(i)
		if noted(t, r, key) {
			t.Errorf("note %d is there before it was written", i)
		}
		if err := note(s, key, nil); err != nil {
			t.Fatal(err)
		}
		if !noted(t, r, key) {
			t.Errorf("note %d is not there", i)
		}
	}
	if err := r.Update(t.Context(), func(tallygate.Tx) error { return nil }); err == nil {
		t.Error("a reader updates")
	}
	if err := r.View(t.Context(), func(tx tallygate.Tx) error {
		report, err := tx.Audit()
		if err == nil && len(report.Findings) > 0 {
			err = fmt.Errorf("found %+v", report.Findings)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if found, err := r.Check(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("the check found %q, %v", found, err)
	}
	if r.Delay() != 0 {
		t.Error("a reader has a delay")
	}
}

func TestAReaderReadsAStoppedStore(t *testing.T) {
	path := ours(t)
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if noted(t, r, "nothing") {
		t.Error("it reads what is not there")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestTheCheckFindsADamagedPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, nil)
	for i := range 50 {
		if err := note(s, fmt.Sprint(i), make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	rewritten(t, path, func(b []byte) []byte {
		for i := len(b) - 3*4096; i < len(b); i++ {
			b[i] = 0x55
		}
		return b
	})
	r, err := sqlite.OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if found, err := r.Check(t.Context()); err == nil && len(found) == 0 {
		t.Error("the check found nothing")
	}
}
