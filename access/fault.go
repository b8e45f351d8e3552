package access

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tallygate/tallygate"
)

// faults gathers what is wrong with a request, so that a refusal names all of one code at once.
type faults struct {
	missing, invalid faultList
}

type faultList struct {
	first string // the first field
	lines []string
}

func (l *faultList) add(field, line string) {
	if len(l.lines) == 0 {
		l.first = field
	}
	l.lines = append(l.lines, line)
}

func (f *faults) lacks(field string) { f.missing.add(field, field) }

func (f *faults) rejects(field, format string, args ...any) {
	f.invalid.add(field, field+": "+fmt.Sprintf(format, args...))
}

// err is MISSING_PARAMETER, else INVALID_PARAMETER, else nil.
func (f *faults) err() error {
	if l := f.missing; len(l.lines) > 0 {
		return &tallygate.Error{Code: tallygate.MissingParameter, Detail: strings.Join(l.lines, ", "), Field: l.first}
	}
	if l := f.invalid; len(l.lines) > 0 {
		return &tallygate.Error{Code: tallygate.InvalidParameter, Detail: strings.Join(l.lines, "; "), Field: l.first}
	}
	return nil
}

const (
	longestName     = 200
	largestMetadata = 16 << 10
	slowestRate     = 0.001
	fastestRate     = 1_000_000
	largestBurst    = 1_000_000
	mostJobs        = 1_000_000_000
)

func (f *faults) checkName(name string) {
	switch {
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		f.rejects("name", "it holds control characters or is not UTF-8")
	case utf8.RuneCountInString(name) > longestName:
		f.rejects("name", "it is longer than %d characters", longestName)
	}
}

func (f *faults) checkMetadata(metadata []byte) {
	var object map[string]json.RawMessage
	if len(metadata) > largestMetadata {
		f.rejects("metadata", "it is larger than %d bytes", largestMetadata)
	} else if err := json.Unmarshal(metadata, &object); err != nil || object == nil {
		f.rejects("metadata", "it must be a JSON object")
	}
}

func (f *faults) checkLimits(l tallygate.ClientLimits) {
	f.checkRate(l.Rate)
	f.checkCount("limits.running_jobs", l.RunningJobs, 0, mostJobs)
	f.checkCount("limits.queued_jobs", l.QueuedJobs, 0, mostJobs)
}

func (f *faults) checkRate(l tallygate.RateLimit) {
	const field = "limits.requests_per_second"
	thousandths := l.PerSecond * 1000
	if !(l.PerSecond >= slowestRate && l.PerSecond <= fastestRate) {
		f.rejects(field, "it must be from %g to %d", slowestRate, fastestRate)
	} else if math.Abs(thousandths-math.Round(thousandths)) > 1e-6 {
		f.rejects(field, "it may have at most three decimals")
	}
	f.checkCount("limits.burst", l.Burst, 1, largestBurst)
}

func (f *faults) checkCount(field string, n, least, most int64) {
	if n < least || n > most {
		f.rejects(field, "it must be from %d to %d", least, most)
	}
}
