package main

import (
	"fmt"
	"os"
	"strings"
	"sync"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

// bar shows how the jobs go on: on a terminal in one line that moves, elsewhere in a line for each tenth.
type bar struct {
	screen   *os.File
	terminal bool
	all      int

	mu      sync.Mutex
	sent    int
	done    int
	failed  int
	charged int64 // millionths
	money   string
	tenth   int // that was last told in a line
}

func newBar(screen *os.File, all int) *bar {
	b := &bar{screen: screen, all: all}
	if info, err := screen.Stat(); err == nil {
		b.terminal = info.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *bar) submitted(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = n
	b.show()
}

func (b *bar) ended(job *tallygate.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done++
	if job.Status != tallygate.JobSucceeded {
		b.failed++
	}
	if micros, err := job.Receipt.Charged.Micros(); err == nil {
		b.charged += micros
	}
	b.money = job.Receipt.Currency
	b.show()
}

func (b *bar) show() {
	if b.terminal {
		fmt.Fprintf(b.screen, "\r\x1b[K%s", b.line())
		return
	}
	if tenth := 10 * b.done / max(1, b.all); tenth > b.tenth {
		b.tenth = tenth
		fmt.Fprintln(b.screen, b.line())
	}
}

// line is how it stands.
func (b *bar) line() string {
	const width = 30
	full := width * b.done / max(1, b.all)
	text := fmt.Sprintf("%s%s  %d of %d", strings.Repeat("█", full), strings.Repeat("░", width-full), b.done, b.all)
	if b.sent < b.all {
		text += fmt.Sprintf(", %d submitted", b.sent)
	}
	if b.failed > 0 {
		text += fmt.Sprintf(", %d failed", b.failed)
	}
	if b.done > 0 {
		text += fmt.Sprintf(", %s %s", tallygate.MoneyFromMicros(b.charged), b.money)
	}
	return text
}

func (b *bar) close() {
	if b.terminal {
		fmt.Fprintln(b.screen)
	}
}
