package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
)

type keyScanCmd struct {
	Path []string `arg:"" help:"Files and directories to search; - is the standard input."`
}

func (keyScanCmd) Help() string {
	return "Keys are known by their shape and checksum, so nothing is sent anywhere and no server is needed. Prints " +
		"path:line:key id, never the secret, and exits with 11 when something was found: revoke those keys with `tallygate key revoke`. " +
		"Directories are walked; .git, links, and binary files over 8 MiB are passed over.\n\nExamples:\n\n" +
		"    tallygate key scan .\n" +
		"    git log -p | tallygate key scan -\n"
}

// mostBinary is the size up to which files that are not text are searched too.
const mostBinary = 8 << 20

// leak is an API key found where it should not be.
type leak struct {
	Path  string          `json:"path"`
	Line  int             `json:"line"`
	KeyID tallygate.KeyID `json:"key_id"`
}

// scan is one search through files.
type scan struct {
	Data       []leak `json:"data"`
	Files      int    `json:"files"`
	Skipped    int    `json:"skipped"`
	Unreadable int    `json:"unreadable"`
}

func (c *keyScanCmd) Run(ctx context.Context, a *app) error {
	s := scan{Data: []leak{}}
	for _, path := range c.Path {
		var err error
		if path == "-" {
			err = s.read("-", a.stdin)
		} else {
			err = s.walk(ctx, a, path)
		}
		if err != nil {
			return err
		}
	}
	if err := a.showScan(&s); err != nil {
		return err
	}
	switch {
	case len(s.Data) > 0:
		return &exitError{code: exitFound, remedy: "revoke what was found with `tallygate key revoke KEY`, then take it out of the files and their history"}
	case s.Unreadable > 0:
		return &exitError{code: exitInternal, err: fmt.Errorf("%d files could not be read", s.Unreadable)}
	}
	return nil
}

func (a *app) showScan(s *scan) error {
	if a.json {
		return a.printValue(s)
	}
	for _, l := range s.Data {
		if _, err := fmt.Fprintf(a.stdout, "%s:%d:%s\n", plain(l.Path), l.Line, l.KeyID); err != nil {
			return err
		}
	}
	a.note("%d keys found in %d files, %d skipped", len(s.Data), s.Files, s.Skipped)
	return nil
}

// walk searches a file, or a directory and what is under it. What cannot be read is told and counted.
func (s *scan) walk(ctx context.Context, a *app, root string) error {
	info, err := os.Stat(root)
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("%s does not exist", root)
	}
	if err == nil && info.IsDir() { // WalkDir would not enter a link
		if target, err := filepath.EvalSymlinks(root); err == nil {
			root = target
		}
	}
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch {
		case err != nil:
		case d.IsDir():
			if d.Name() == ".git" && path != root {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() && path != root:
			s.Skipped++
			return nil
		default:
			err = s.file(path)
		}
		if err != nil {
			s.Unreadable++
			a.note("cannot read: %v", err)
		}
		return nil
	})
}

func (s *scan) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() > mostBinary {
		start := make([]byte, 8000)
		n, err := io.ReadFull(f, start)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if bytes.IndexByte(start[:n], 0) >= 0 {
			s.Skipped++
			return nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	return s.read(path, f)
}

func (s *scan) read(path string, r io.Reader) error {
	s.Files++
	return access.ScanKeys(r, func(line int, id tallygate.KeyID) {
		s.Data = append(s.Data, leak{path, line, id})
	})
}
