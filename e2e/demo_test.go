package e2e

import (
	"bytes"
	"image"
	_ "image/jpeg" // decodes what the thumbnail may be
	_ "image/png"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var demoTypes = []string{"image.thumbnail", "text.stats", "archive.inspect"}

func TestDemoShowsThreeJobsFromSubmitToCharge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := run(t, nil, "demo", "--once", "--listen", "127.0.0.1:0", "--dir", dir).exits(0)
	showsReceipts(t, r.stdout)
	if strings.Contains(r.stderr, "DATA RACE") {
		t.Errorf("the demo races:\n%s", r.stderr)
	}
	findsThumbnail(t, dir)
}

// showsReceipts makes sure that what the demo printed shows what each of its job types was charged.
func showsReceipts(t *testing.T, said string) {
	t.Helper()
	for _, name := range demoTypes {
		_, after, found := strings.Cut(said, name)
		if !found || !strings.Contains(after, "charged") {
			t.Errorf("the demo shows no receipt of %s:\n%s", name, said)
		}
	}
}

// findsThumbnail makes sure that the demo left a picture that is one.
func findsThumbnail(t *testing.T, dir string) {
	t.Helper()
	var pictures []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(d.Name(), "thumbnail") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		picture, _, err := image.Decode(bytes.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil
		}
		if size := picture.Bounds().Size(); size.X < 1 || size.Y < 1 {
			t.Errorf("%s is %s large", path, size)
		}
		pictures = append(pictures, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pictures) == 0 {
		t.Errorf("the demo left no thumbnail in %s", dir)
	}
}

// TestDemoPrintsLinesToPaste runs what the demo prints for its reader, then ends the demo as its reader would.
func TestDemoPrintsLinesToPaste(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("CI needs curl for this test")
		}
		t.Skip("SKIPPED: no curl")
	}
	cmd := exec.Command(binary, "demo", "--listen", "127.0.0.1:0", "--dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children are found by the group
	p := spawn(t, cmd)
	until(t, "the demo says how to end it", func() bool {
		if p.gone() {
			t.Fatalf("the demo ended (%v):\n%s%s", p.cmd.ProcessState, p.stdout, p.stderr)
		}
		return strings.Contains(p.stdout.String()+p.stderr.String(), "Ctrl-C")
	})
	showsReceipts(t, p.stdout.String())
	export, lines := pasted(p.stdout.String())
	if export == "" || len(lines) < 3 {
		t.Fatalf("the demo prints no key and lines to use it with:\n%s", p.stdout)
	}
	for _, line := range lines {
		r := runCommand(t, "sh", nil, export+"\n"+line, "-e").exits(0)
		// One of the lines shows an error on purpose.
		if got, failed := r.json().find("error.code"); failed && got.v != "JOB_NOT_FOUND" {
			t.Errorf("the line\n%s\nis answered %s", line, r.stdout)
		}
	}
	p.signal(os.Interrupt)
	if code := p.exitCode(t); code != 0 {
		t.Errorf("the demo ended with %d after an interrupt:\n%s", code, p.stderr)
	}
	until(t, "no child of the demo is left", func() bool { return syscall.Kill(-p.cmd.Process.Pid, 0) == syscall.ESRCH })
}

// pasted are the shell lines that the demo prints: the one that names the key, and those that call the server.
func pasted(said string) (export string, lines []string) {
	for line := range strings.Lines(said) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "export "):
			export = line
		case strings.HasPrefix(line, "curl "):
			lines = append(lines, line)
		}
	}
	return export, lines
}
