package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// quick is a bench of the fake server that ends within moments: whether it
// works, not how fast.
func quick(t *testing.T, only ...string) Options {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var made atomic.Int64
	return Options{
		Binary:      program,
		Dir:         t.TempDir(),
		Rounds:      2,
		Duration:    50 * time.Millisecond,
		Connections: 4,
		Jobs:        1_500,
		Queued:      10_000,
		Stored:      1_200,
		Rate:        300,
		Only:        only,
		MakeKey:     func() string { return fmt.Sprint("tg_live_known_nobody_", made.Add(1)) },
		Log:         t.Output(),
		Progress:    t.Output(),
	}
}

func TestEveryScenarioReports(t *testing.T) {
	opt := quick(t)
	opt.Only = slices.DeleteFunc(Scenarios(), func(name string) bool {
		return name == "snapshot" || name == "retention" || runtime.GOOS != "linux" && (name == "memory" || name == "idle")
	})
	report, err := Run(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	reported := map[string]bool{}
	for _, row := range report.Rows {
		reported[row.Scenario] = true
		if row.Median <= 0 || row.Min > row.Median || row.Max < row.Median {
			t.Errorf("%s, %s: median %v of %v", row.Scenario, row.Measure, row.Median, row.Values)
		}
	}
	for _, name := range Scenarios() {
		if !reported[name] && opt.wants(name) {
			t.Errorf("%s is not in the report", name)
		}
	}
	var text strings.Builder
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	t.Log(text.String())
	left, err := filepath.Glob(filepath.Join(opt.Dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestWhatMustNotBeReportedAsSpeedFails(t *testing.T) {
	for _, c := range []struct{ fault, scenario, says string }{
		{"refuse", "submit", "unexpected answers"},
		{"forget", "submit", "the balance must be"},
		{"forget", "submit-idempotent", "the balance must be"},
		{"overcharge", "drain", "the balance must be"},
		{"refuse", "whole", "unexpected answers"},
	} {
		t.Run(c.fault+" "+c.scenario, func(t *testing.T) {
			t.Setenv(fakeFault, c.fault)
			report, err := Run(t.Context(), quick(t, c.scenario))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("the error is %v and does not say %q", err, c.says)
			}
			if len(report.Rows) > 0 || len(report.Failures) != 1 || report.Failures[0].Scenario != c.scenario {
				t.Errorf("%d rows, failures %v", len(report.Rows), report.Failures)
			}
			var text strings.Builder
			if err := report.WriteText(&text); err != nil || !strings.Contains(text.String(), "FAILED "+c.scenario) {
				t.Errorf("the table does not say it (%v):\n%s", err, &text)
			}
		})
	}
}

func TestABusyServerIsFilledAllTheSame(t *testing.T) {
	t.Setenv(fakeFault, "busy")
	if _, err := Run(t.Context(), quick(t, "drain")); err != nil {
		t.Error(err)
	}
}

func TestOnePartOfAGroupFailsAlone(t *testing.T) {
	opt := quick(t, "refuse-unknown", "refuse-limited")
	opt.MakeKey = nil
	report, err := Run(t.Context(), opt)
	if err == nil || len(report.Failures) != 1 || report.Failures[0].Scenario != "refuse-unknown" {
		t.Errorf("error %v, failures %v", err, report.Failures)
	}
	if len(report.Rows) == 0 || report.Rows[0].Scenario != "refuse-limited" {
		t.Errorf("rows %v", report.Rows)
	}
}

func TestRunRefusesWhatItCannotDo(t *testing.T) {
	for _, opt := range []Options{
		{},
		{Binary: "x", Only: []string{"no-such"}},
		{Binary: "x", Rounds: -1},
		{Binary: "x", Duration: -1},
		{Binary: "x", Nodes: 2},
		{Binary: "x", Peer: "river"},
		{Binary: "x", Only: []string{"snapshot"}},
		{Binary: "x", Database: "postgres://localhost", Peer: "no-such"},
	} {
		opt.Dir = t.TempDir()
		if _, err := Run(t.Context(), opt); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
	opt := quick(t, "submit")
	opt.Binary = filepath.Join(opt.Dir, "missing")
	if _, err := Run(t.Context(), opt); err == nil {
		t.Error("a missing executable is no error")
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	opt := quick(t, "refuse-junk", "drain")
	ctx, cancel := context.WithCancel(t.Context())
	opt.Progress = writerFunc(func(p []byte) { cancel() })
	report, err := Run(ctx, opt)
	if !errors.Is(err, context.Canceled) || len(report.Failures) > 0 {
		t.Errorf("error %v, failures %v", err, report.Failures)
	}
	if left, _ := filepath.Glob(filepath.Join(opt.Dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

func TestReportIsJSON(t *testing.T) {
	var r Report
	r.add(newRow("drain", "settled", "jobs/s", []float64{11_000, 13_000, 12_500}).atLeast(12_000, ofValue))
	r.add(newRow("submit", "answered", "requests/s", []float64{25, 50}).against("bare handler", []float64{100, 100}).atLeast(0.4, ofBase))
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if got := back.Rows[0]; got.Median != 12_500 || got.Min != 11_000 || got.Max != 13_000 || !got.Target.Reached {
		t.Errorf("drain: %+v", got)
	}
	if got := back.Rows[1]; got.Median != 37.5 || got.Base.Ratio != 0.375 || got.Target.Reached {
		t.Errorf("submit: %+v", got)
	}
	if missed := back.Missed(); !slices.Equal(missed, []string{"submit: answered"}) {
		t.Errorf("missed %q", missed)
	}
}

func TestFiguresRead(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.123: "0.12", 9.5: "9.50", 12.34: "12.3", 123.6: "124", 1234567: "1,234,567"} {
		if got := figure(v); got != want {
			t.Errorf("%v reads %s, want %s", v, got, want)
		}
	}
}
