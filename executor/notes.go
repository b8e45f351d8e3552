package executor

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	mostLines = 100  // of log in one heartbeat
	mostLine  = 4000 // bytes
)

// notes gathers progress and log lines until a heartbeat takes them along.
type notes struct {
	news chan struct{} // holds a value after something was added

	mu       sync.Mutex
	progress *float64 // nil: no news
	lines    []string
	leftOut  int // lines that found no room
}

// add takes a progress from 0 to 1 and a log line. A progress outside of that, above or below, is cut to it or is none;
// an empty line is none.
func (n *notes) add(progress float64, line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if progress >= 0 { // not a NaN either
		n.progress = new(min(progress, 1))
	}
	if line != "" {
		n.append(cut(strings.ToValidUTF8(line, "\uFFFD"), mostLine))
	}
	select {
	case n.news <- struct{}{}:
	default: // it holds one already
	}
}

func (n *notes) append(lines ...string) {
	room := min(len(lines), mostLines-len(n.lines))
	n.lines = append(n.lines, lines[:room]...)
	n.leftOut += len(lines) - room
}

func (n *notes) empty() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.progress == nil && len(n.lines) == 0
}

// take empties the notes.
func (n *notes) take() (progress *float64, lines []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	progress, lines = n.progress, n.lines
	if n.leftOut > 0 {
		lines = append(lines, fmt.Sprintf("(%d more lines were left out)", n.leftOut))
	}
	n.progress, n.lines, n.leftOut = nil, nil, 0
	return progress, lines
}

// putBack returns what was taken and could not be sent. A later progress stays.
func (n *notes) putBack(progress *float64, lines []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.progress == nil {
		n.progress = progress
	}
	later := n.lines
	n.lines = nil
	n.append(lines...)
	n.append(later...)
}

// cut shortens s to at most the bytes, between characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
