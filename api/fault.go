package api

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tallygate/tallygate"
)

// faults collects what is wrong with one request, so that its caller can mend all of it at once.
type faults struct {
	list  []fault
	found map[tallygate.Code]int // how many of each code; no more of one are listed than a message holds
}

type fault struct {
	code  tallygate.Code
	field string
	text  string
}

// faultOrder is which code is reported where faults of several are found.
var faultOrder = [...]tallygate.Code{
	tallygate.InvalidFormat, tallygate.MissingParameter, tallygate.InvalidParameter, tallygate.InvalidRequest,
}

// Bounds of one message.
const (
	maxFaults     = 50
	maxShownValue = 60
)

// add notes a fault; the first of each code and field counts.
func (f *faults) add(code tallygate.Code, field, format string, args ...any) {
	if f.full(code) {
		f.found[code]++
		return
	}
	for i := range f.list {
		if f.list[i].code == code && f.list[i].field == field && field != "" {
			return
		}
	}
	if f.found == nil {
		f.found = map[tallygate.Code]int{}
	}
	f.found[code]++
	f.list = append(f.list, fault{code, field, fmt.Sprintf(format, args...)})
}

// full reports whether more faults of the code are only counted, so that a request of nothing but faults costs little.
func (f *faults) full(code tallygate.Code) bool { return f.found[code] >= maxFaults }

func (f *faults) missing(field string) {
	f.add(tallygate.MissingParameter, field, "%s is required", shown(field))
}

// invalid says of the field's value that it must be otherwise, such as "must be true or false".
func (f *faults) invalid(field, format string, args ...any) {
	f.add(tallygate.InvalidParameter, field, "%s: "+format, append([]any{shown(field)}, args...)...)
}

// unknown names the known field that is nearest to one that does not exist, or all of them.
func (f *faults) unknown(what, field, name string, known []string) {
	if f.full(tallygate.InvalidParameter) {
		f.invalid(field, "")
		return
	}
	known = slices.Compact(slices.Sorted(slices.Values(known))) // a getter may ask twice
	switch near := tallygate.Nearest(name, known); {
	case near != "":
		f.invalid(field, "is no %s of this request; did you mean %q?", what, near)
	case len(known) > 0:
		f.invalid(field, "is no %s of this request, which takes %s", what, strings.Join(known, ", "))
	default:
		f.invalid(field, "is no %s of this request, which takes none", what)
	}
}

// join notes the faults that another room found, such as those of a schema.
func (f *faults) join(err error) {
	e := tallygate.AsError(err)
	if slices.Contains(faultOrder[:], e.Code) && e.Detail != "" {
		f.add(e.Code, "", "%s", e.Detail)
	}
}

func (f *faults) any() bool { return len(f.list) > 0 }

// err reports every fault of the first code in order, nil where there is none.
func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	for _, code := range faultOrder {
		e := &tallygate.Error{Code: code}
		var texts []string
		for _, one := range f.list {
			if one.code != code {
				continue
			}
			if e.Field == "" {
				e.Field = one.field
			}
			texts = append(texts, one.text)
		}
		if len(texts) == 0 {
			continue
		}
		if more := f.found[code] - len(texts); more > 0 {
			texts = append(texts, fmt.Sprintf("and %d more", more))
		}
		e.Detail = strings.Join(texts, "; ")
		return e
	}
	return &tallygate.Error{Code: tallygate.InvalidRequest}
}

// quoted shows a name from a request within a message.
func quoted(s string) string { return `"` + printable(s) + `"` }

// shown shows a value from a request within a message.
func shown(s string) string {
	if len(s) > maxShownValue {
		cut := maxShownValue
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return printable(s[:cut]) + "…"
	}
	return printable(s)
}

// printable replaces what no message should carry.
func printable(s string) string {
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
