package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// progress tells the caller how far a run is: a line for each phase that has
// ended, and on a terminal a moving one for the phase under way.
type progress struct {
	mu   sync.Mutex
	w    io.Writer
	live bool
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w}
	if file, ok := w.(*os.File); ok {
		info, err := file.Stat()
		p.live = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

const clearLine = "\r\x1b[K"

func (p *progress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w == nil {
		return
	}
	if p.live {
		line = clearLine + line
	}
	fmt.Fprintln(p.w, line)
}

// A phase is one step of a run, by count or by time.
type phase struct {
	p     *progress
	label string
	total int64
	began time.Time
	quit  chan struct{}
	idle  sync.WaitGroup

	mu   sync.Mutex
	done int64
	span time.Duration
}

// begin starts a phase of total things, or of an unknown number when 0.
func (p *progress) begin(label string, total int64) *phase {
	ph := &phase{p: p, label: label, total: total, began: time.Now(), quit: make(chan struct{})}
	if p.live {
		ph.idle.Go(ph.move)
	}
	return ph
}

// lasts says how long the phase is going to take.
func (ph *phase) lasts(d time.Duration) {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	ph.span = d
}

func (ph *phase) add(n int64) {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	ph.done += n
}

func (ph *phase) move() {
	// Slow enough to cost the measured processes nothing.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ph.quit:
			return
		case now := <-tick.C:
			fmt.Fprint(ph.p.w, clearLine+ph.line(now.Sub(ph.began)))
		}
	}
}

const barWidth = 30

func (ph *phase) line(elapsed time.Duration) string {
	ph.mu.Lock()
	defer ph.mu.Unlock()
	var part float64
	var count string
	switch {
	case ph.total > 0:
		part = float64(ph.done) / float64(ph.total)
		count = fmt.Sprintf("%s of %s", whole(ph.done), whole(ph.total))
	case ph.span > 0:
		part = float64(elapsed) / float64(ph.span)
	}
	full := int(min(max(part, 0), 1) * barWidth)
	text := fmt.Sprintf("%-34s [%s%s] %3ds %s", ph.label, strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), int(elapsed.Seconds()), count)
	return strings.TrimRight(text, " ")
}

// end closes the phase with what came of it.
func (ph *phase) end(result string) {
	close(ph.quit)
	ph.idle.Wait()
	ph.p.say(fmt.Sprintf("%-34s %s", ph.label, result))
}
