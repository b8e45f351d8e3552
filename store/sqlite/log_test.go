package sqlite_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/sqlite"
)

// beginnings is how often the write-ahead log has begun anew: the checkpoint sequence number of its header
// (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
func beginnings(t *testing.T, path string) uint32 {
	t.Helper()
	f, err := os.Open(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var header [32]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(header[12:])
}

func TestTheLogBeginsAnewUnderContinuousWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	s := open(t, path, nil)
	body := bytes.Repeat([]byte("x"), 1<<20)
	const most = 2 << 30
	written := 0
	write := func() {
		t.Helper()
		if err := s.Update(t.Context(), func(tx tallygate.Tx) error { // the same pages over and over
			if _, err := tx.DeleteIdempotency(tx.Now(), 10); err != nil {
				return err
			}
			return tx.InsertIdempotency(&tallygate.Idempotency{ClientID: "cl_a", Key: fmt.Sprint(written), Body: body})
		}); err != nil {
			t.Fatal(err)
		}
		written += len(body)
	}
	write()
	for first := beginnings(t, path); beginnings(t, path) < first+2; {
		if write(); written > most {
			t.Fatalf("%d MiB were written and the log never began anew", written>>20)
		}
	}
	info, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d MiB were written, the log has %d MiB", written>>20, info.Size()>>20)
	if info.Size() >= int64(written) {
		t.Error("the log holds all that was written")
	}
}

func TestAClosedStoreLeavesNoLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := note(s, "first", make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path + "-wal"); err == nil && info.Size() > 0 {
		t.Errorf("the log has %d bytes", info.Size())
	}
}

func TestADiskWithoutRoomForTheLogIsADatabaseErrorUntilRoomIsMade(t *testing.T) {
	if out, err := child(t, "fill", filepath.Join(t.TempDir(), "test.db")).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
