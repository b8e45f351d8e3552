package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate"
	sdk "github.com/tallygate/tallygate/sdk/go"
)

// progress tells how a job goes on: on a terminal a bar that moves, with log lines above it, elsewhere a line for each
// change. It writes to the standard error, so that the standard output holds the job alone.
type progress struct {
	app     *app
	job     string // type and ID
	started time.Time

	mu     sync.Mutex
	status string
	done   float64 // 0 to 1; negative: not known
	told   int     // the tenth that was last told in a line
	frame  int

	stop  chan struct{}
	ended sync.WaitGroup
}

const (
	frameTime = 100 * time.Millisecond
	clearLine = "\r\x1b[K"
)

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

func newProgress(a *app, j *sdk.Job) *progress {
	p := &progress{app: a, job: j.Type + " " + j.ID, started: a.now(), status: string(j.Status), done: -1, stop: make(chan struct{})}
	if j.Progress != nil {
		p.done = *j.Progress
	}
	p.told = int(p.done * 10)
	if a.live {
		p.ended.Go(p.animate)
	} else {
		a.note("%s: %s", p.job, j.Status)
	}
	return p
}

// close ends the bar and leaves the line free.
func (p *progress) close() {
	close(p.stop)
	p.ended.Wait()
	if p.app.live {
		fmt.Fprint(p.app.stderr, clearLine)
	}
}

// tell takes one event in.
func (p *progress) tell(h happening) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.Data.Progress != nil {
		p.done = *h.Data.Progress
	}
	switch {
	case h.Data.Line != nil:
		p.line("%s", *h.Data.Line)
	case h.Kind == tallygate.EventJobRetrying:
		p.status, p.done = string(h.Status), -1
		if h.Data.Message != "" {
			p.line("attempt failed: %s; it will be tried again", h.Data.Message)
		} else {
			p.line("attempt ended (%s); it will be tried again", h.Data.Reason)
		}
	case h.Status != "" && string(h.Status) != p.status:
		p.status = string(h.Status)
		if !p.app.live {
			p.line("%s: %s", p.job, h.Status)
		}
	}
	if tenth := int(p.done * 10); !p.app.live && tenth > p.told && p.done < 1 {
		p.told = tenth
		p.line("%s: %s", p.job, percent(p.done))
	}
}

// line writes a line above the bar, or the next one where there is no bar.
func (p *progress) line(format string, args ...any) {
	if p.app.live {
		fmt.Fprint(p.app.stderr, clearLine)
	}
	p.app.note(format, args...)
	if p.app.live {
		fmt.Fprint(p.app.stderr, p.bar(p.app.width()))
	}
}

func (p *progress) animate() {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for {
		p.mu.Lock()
		fmt.Fprint(p.app.stderr, clearLine+p.bar(p.app.width()))
		p.frame++
		p.mu.Unlock()
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
	}
}

// bar is the line as it stands, at most width wide: what, how far, how long.
func (p *progress) bar(width int) string {
	head := spinner[p.frame%len(spinner)] + " " + plain(p.job) + "  " + p.status
	tail := "  " + clock(p.app.now().Sub(p.started))
	if p.done >= 0 {
		tail = fmt.Sprintf(" %4s", percent(p.done)) + tail
		const longest, shortest = 40, 10
		// One column stays free: a terminal may wrap when the last is written.
		room := min(longest, width-1-utf8.RuneCountInString(head)-utf8.RuneCountInString(tail)-2)
		if room >= shortest {
			full := min(room, int(p.done*float64(room)))
			tail = "  " + strings.Repeat("█", full) + strings.Repeat("░", room-full) + tail
		}
	}
	return shorten(head, width-1-utf8.RuneCountInString(tail)) + tail
}

// shorten cuts a text to at most width runes.
func shorten(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	return string([]rune(s)[:width-1]) + "…"
}

// clock is a duration as minutes and seconds, with hours where there are any.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}
