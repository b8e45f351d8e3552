package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Report is what a run found. Its JSON form holds every round.
type Report struct {
	Started     time.Time `json:"started"`
	Machine     Machine   `json:"machine"`
	Rounds      int       `json:"rounds"`
	Seconds     float64   `json:"seconds"` // of each measured phase
	Connections int       `json:"connections"`
	Nodes       int       `json:"nodes"`
	Database    *Database `json:"database,omitempty"` // PostgreSQL's; none for SQLite
	Peer        string    `json:"peer,omitempty"`     // its name and version
	Rows        []Row     `json:"rows"`
	Failures    []Failure `json:"failures,omitempty"`
}

// Machine is where it was measured. SyncMS is the median time of a 4 KiB write
// with fsync, in the folder of the databases.
type Machine struct {
	System     string  `json:"system"`
	Processors int     `json:"processors"`
	SyncMS     float64 `json:"sync_ms"`
}

// Database is the PostgreSQL server that it was measured on. CommitMS is the
// median time of a transaction that writes 4 KiB and nothing else.
type Database struct {
	Version           string  `json:"version"`
	Fsync             string  `json:"fsync"`
	SynchronousCommit string  `json:"synchronous_commit"`
	CommitMS          float64 `json:"commit_ms"`
}

// Row is one measured quantity: a value per round, and what they come to.
type Row struct {
	Scenario string    `json:"scenario"`
	Measure  string    `json:"measure"`
	Unit     string    `json:"unit"`
	Values   []float64 `json:"values"`
	Median   float64   `json:"median"`
	Min      float64   `json:"min"`
	Max      float64   `json:"max"`
	Base     *Base     `json:"base,omitempty"`
	Target   *Target   `json:"target,omitempty"`
}

// Base is what a row is compared with. Ratio is the median of the rounds'
// ratios: the two of one round ran one after the other, so that a machine that
// grows slower slows both.
type Base struct {
	Name   string    `json:"name"`
	Values []float64 `json:"values"`
	Median float64   `json:"median"`
	Ratio  float64   `json:"ratio"`
}

// Target is what a row has to reach: by its median, by its ratio, or by what
// it is above its base.
type Target struct {
	Of      string  `json:"of"`    // "value", "base" or "excess"
	Bound   string  `json:"bound"` // "least" or "most"
	Limit   float64 `json:"limit"`
	Reached bool    `json:"reached"`
}

// Failure is a scenario that gave no figures.
type Failure struct {
	Scenario string `json:"scenario"`
	Error    string `json:"error"`
}

const (
	ofValue  = "value"
	ofBase   = "base"
	ofExcess = "excess"
)

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	switch {
	case len(sorted) == 0:
		return 0
	case len(sorted)%2 == 0:
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

func newRow(scenario, measure, unit string, values []float64) Row {
	return Row{
		Scenario: scenario,
		Measure:  measure,
		Unit:     unit,
		Values:   values,
		Median:   median(values),
		Min:      slices.Min(values),
		Max:      slices.Max(values),
	}
}

func (r Row) against(name string, values []float64) Row {
	var ratios []float64
	for i, v := range values {
		if v > 0 {
			ratios = append(ratios, r.Values[i]/v)
		}
	}
	r.Base = &Base{Name: name, Values: values, Median: median(values), Ratio: median(ratios)}
	return r
}

func (r Row) atLeast(limit float64, of string) Row {
	r.Target = &Target{Of: of, Bound: "least", Limit: limit, Reached: r.judged(of) >= limit}
	return r
}

func (r Row) atMost(limit float64, of string) Row {
	r.Target = &Target{Of: of, Bound: "most", Limit: limit, Reached: r.judged(of) <= limit}
	return r
}

// Missed names the measures that do not reach what they are to.
func (r *Report) Missed() (names []string) {
	for _, row := range r.Rows {
		if row.Target != nil && !row.Target.Reached {
			names = append(names, row.Scenario+": "+row.Measure)
		}
	}
	return names
}

func (r Row) judged(of string) float64 {
	switch of {
	case ofBase:
		return r.Base.Ratio
	case ofExcess:
		return r.Median - r.Base.Median
	}
	return r.Median
}

func (r *Report) add(row Row) { r.Rows = append(r.Rows, row) }

// rateRow is the answers per second of rounds, compared with their base where
// there is one.
func rateRow(scenario string, rounds []round) Row {
	var server, base []float64
	for _, r := range rounds {
		server = append(server, r.server.rate())
		base = append(base, r.base.rate())
	}
	row := newRow(scenario, "answered", "requests/s", server)
	if base[0] > 0 {
		row = row.against("bare", base)
	}
	return row
}

func (r *Report) addLatency(scenario, measure string, rounds []round) {
	var p50, p99 []float64
	for _, one := range rounds {
		p50 = append(p50, one.server.Latency.P50.milliseconds())
		p99 = append(p99, one.server.Latency.P99.milliseconds())
	}
	if measure != "" {
		measure += ", "
	}
	r.add(newRow(scenario, measure+"p50", "ms", p50))
	r.add(newRow(scenario, measure+"p99", "ms", p99))
}

// addCost adds the processor time per request, of the server and of its
// database's processes where they can be told apart from it: unlike a rate, it
// does not depend on what the load process takes from the same machine.
func (r *Report) addCost(scenario, of string, rounds []round) {
	var server, database, base []float64
	for _, one := range rounds {
		if one.serverCost.server == 0 {
			return // this system does not tell
		}
		server = append(server, microseconds(one.serverCost.server)/float64(one.server.Total))
		database = append(database, microseconds(one.serverCost.database)/float64(one.server.Total))
		base = append(base, microseconds(one.baseCost.server)/float64(max(one.base.Total, 1)))
	}
	row := newRow(scenario, "CPU of "+of, "µs", server)
	if base[0] > 0 {
		row = row.against("bare", base)
	}
	r.add(row)
	if database[0] > 0 {
		r.add(newRow(scenario, "the database's CPU of "+of, "µs", database))
	}
}

func microseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Microsecond)
}

// WriteText prints the report as a table.
func (r Report) WriteText(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s, %d processors, %s; phases of %d × %s s, %d connections\n\n", r.Machine.System, r.Machine.Processors,
		r.engine(), r.Rounds, figure(r.Seconds), r.Connections)
	lines := [][]string{{"scenario", "measure", "median", "", "min–max", "base", "", "ratio", "target", ""}}
	for _, row := range r.Rows {
		lines = append(lines, row.cells())
	}
	if len(r.Rows) > 0 {
		writeTable(&text, lines)
	}
	for _, failure := range r.Failures {
		fmt.Fprintf(&text, "\nFAILED %s: %s\n", failure.Scenario, failure.Error)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// engine says what the server keeps its data in and how fast that reaches the
// disk.
func (r Report) engine() string {
	if r.Database == nil {
		return "SQLite, fsync " + figure(r.Machine.SyncMS) + " ms"
	}
	text := fmt.Sprintf("PostgreSQL %s, fsync %s, synchronous_commit %s, commit %s ms", r.Database.Version, r.Database.Fsync,
		r.Database.SynchronousCommit, figure(r.Database.CommitMS))
	if r.Nodes > 1 {
		text += fmt.Sprintf(", %d nodes", r.Nodes)
	}
	if r.Peer != "" {
		text += ", beside " + r.Peer
	}
	return text
}

func (r Row) cells() []string {
	cells := []string{r.Scenario, r.Measure, figure(r.Median), r.Unit, "", "", "", "", "", ""}
	if len(r.Values) > 1 {
		cells[4] = figure(r.Min) + "–" + figure(r.Max)
	}
	if r.Base != nil {
		cells[5] = figure(r.Base.Median)
		cells[6] = r.Base.Name
		cells[7] = strconv.FormatFloat(r.Base.Ratio, 'f', 2, 64)
	}
	if t := r.Target; t != nil {
		cells[8] = map[string]string{"least": "≥ ", "most": "≤ "}[t.Bound] + figure(t.Limit)
		switch t.Of {
		case ofBase:
			cells[8] += " × base"
		case ofExcess:
			cells[8] += " above base"
		}
		cells[9] = map[bool]string{true: "reached", false: "MISSED"}[t.Reached]
	}
	return cells
}

// writeTable aligns figures to the right and words to the left.
func writeTable(text *strings.Builder, lines [][]string) {
	const right = " 2 4 5 7 "
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var out strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if strings.Contains(right, fmt.Sprintf(" %d ", i)) {
				out.WriteString(pad + cell + "  ")
			} else {
				out.WriteString(cell + pad + "  ")
			}
		}
		text.WriteString(strings.TrimRight(out.String(), " ") + "\n")
	}
}

// whole prints a count in groups of three digits.
func whole(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// figure prints a measured number with three significant digits, or all of its
// whole ones.
func figure(v float64) string {
	switch {
	case v >= 100:
		return whole(int64(math.Round(v)))
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
