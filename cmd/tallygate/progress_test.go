package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate"
	sdk "github.com/tallygate/tallygate/sdk/go"
)

// liveApp draws as on a terminal, into a buffer.
func liveApp(b *buffer, now func() time.Time) *app {
	return &app{process: process{stdout: b, stderr: b, now: now}, live: true, width: func() int { return 60 }}
}

func TestTheBarShowsHowFarAndHowLong(t *testing.T) {
	now := testNow
	p := &progress{app: liveApp(new(buffer), func() time.Time { return now }), job: "text.stats job_1", started: testNow, status: "queued", done: -1}
	for _, step := range []struct {
		after time.Duration
		done  float64
		width int
		want  string
	}{
		{0, -1, 60, "⠋ text.stats job_1  queued  0:00"},
		{65 * time.Second, 0, 60, "⠋ text.stats job_1  queued  ░░░░░░░░░░░░░░░░░░░░   0%  1:05"},
		{0, 0.5, 60, "⠋ text.stats job_1  queued  ██████████░░░░░░░░░░  50%  1:05"},
		{time.Hour, 1, 60, "⠋ text.stats job_1  queued  █████████████████ 100%  1:01:05"},
		{0, 0.5, 40, "⠋ text.stats job_1  queu…  50%  1:01:05"},
		{0, 0.5, 20, "⠋ te…  50%  1:01:05"},
	} {
		now = now.Add(step.after)
		p.done = step.done
		got := p.bar(step.width)
		if got != step.want {
			t.Errorf("%v at %d:\ngot  %q\nwant %q", step.done, step.width, got, step.want)
		}
		if utf8.RuneCountInString(got) >= step.width {
			t.Errorf("%q is not narrower than %d", got, step.width)
		}
	}
}

func TestLogLinesStandAboveTheBar(t *testing.T) {
	var b buffer
	p := newProgress(liveApp(&b, func() time.Time { return testNow }), &sdk.Job{ID: "job_1", Type: "text.stats", Status: sdk.JobRunning})
	line, half := "page 1", 0.5
	p.tell(happening{Data: details{Progress: &half}})
	p.tell(happening{Kind: tallygate.EventJobLog, Data: details{Line: &line}})
	p.tell(happening{Kind: tallygate.EventJobRetrying, Status: "queued", Data: details{Reason: "lost"}})
	p.close()
	got := b.String()
	if !strings.Contains(got, clearLine+"page 1\n⠋") && !strings.Contains(got, clearLine+"page 1\n⠙") {
		t.Errorf("no log line above a bar in %q", got)
	}
	if !strings.Contains(got, "attempt ended (lost); it will be tried again\n") || !strings.HasSuffix(got, clearLine) {
		t.Errorf("got %q", got)
	}
}

func TestTimesAreToldFromNow(t *testing.T) {
	a := &app{process: process{now: func() time.Time { return testNow }}}
	for _, test := range []struct {
		d           time.Duration
		table, full string
	}{
		{0, "now", "2026-03-01 12:00:00 +00:00 (now)"},
		{-30 * time.Second, "30s ago", "2026-03-01 11:59:30 +00:00 (30s ago)"},
		{500 * time.Millisecond, "in 500ms", "2026-03-01 12:00:00 +00:00 (in 500ms)"},
		{-119 * time.Minute, "119m ago", "2026-03-01 10:01:00 +00:00 (119m ago)"},
		{-47 * time.Hour, "47h ago", "2026-02-27 13:00:00 +00:00 (47h ago)"},
		{72 * time.Hour, "in 3d", "2026-03-04 12:00:00 +00:00 (in 3d)"},
		{-100 * 24 * time.Hour, "2025-11-21", "2025-11-21 12:00:00 +00:00 (100d ago)"},
	} {
		at := testNow.Add(test.d)
		if got := a.ago(at); got != test.table {
			t.Errorf("%v in a table: %q, want %q", test.d, got, test.table)
		}
		if got := a.when(at); got != test.full {
			t.Errorf("%v in a record: %q, want %q", test.d, got, test.full)
		}
	}
	if a.ago(time.Time{}) != "-" || a.when(time.Time{}) != "" {
		t.Error("no time is told as one")
	}
}

func TestCountsAreGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1000: "-1,000", -100: "-100", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}

func TestColoursOnATerminalAlone(t *testing.T) {
	var b buffer
	a := &app{process: process{stdout: &b, now: time.Now}, colour: true}
	if err := a.printTable([]column{left("id"), status("status"), right("n")}, [][]string{{"a", "failed", "1"}, {"bc", "active", "22"}}); err != nil {
		t.Fatal(err)
	}
	want := "\x1b[1mID\x1b[0m  \x1b[1mSTATUS\x1b[0m   \x1b[1mN\x1b[0m\na   \x1b[31mfailed\x1b[0m   1\nbc  \x1b[32mactive\x1b[0m  22\n"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
