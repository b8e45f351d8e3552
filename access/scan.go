package access

import (
	"bytes"
	"errors"
	"io"

	"github.com/tallygate/tallygate"
)

// ScanKeys reads a text of any size and calls found for each key in it, with the line it stands on, counted from 1. A
// key is known by its shape and checksum, so that no store is asked; what only looks like one is passed over.
func ScanKeys(r io.Reader, found func(line int, id tallygate.KeyID)) error {
	buffer := make([]byte, 64<<10)
	line, held := 1, 0
	for {
		n, err := r.Read(buffer[held:])
		held += n
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			return err
		}
		scanned := 0
		for {
			i := bytes.Index(buffer[scanned:held], []byte(keyPrefix))
			if i < 0 || held-(scanned+i) < keyLength {
				break
			}
			line += bytes.Count(buffer[scanned:scanned+i], []byte("\n"))
			scanned += i
			id, _, fault := ParseKey(string(buffer[scanned : scanned+keyLength]))
			if fault != nil {
				scanned++
				continue
			}
			found(line, id)
			scanned += keyLength
		}
		if ended {
			return nil
		}
		// What is left may hold the beginning of a key: the rest of it comes with the next read.
		keep := max(scanned, held-keyLength+1)
		line += bytes.Count(buffer[scanned:keep], []byte("\n"))
		held = copy(buffer, buffer[keep:held])
	}
}
