package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
)

// object is a JSON object in the making.
type object = map[string]any

// value is a JSON value that was received.
type value struct {
	t    testing.TB
	from string // for messages
	v    any
}

// decode reads exactly one JSON document.
func decode(t testing.TB, from string, text []byte) value {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: no JSON: %v in %.500q", from, err, text)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%s: more than one JSON document in %.500q", from, text)
	}
	return value{t, from, v}
}

// find is the value at a path such as "leases.0.job.id", and whether it is there.
func (v value) find(path string) (value, bool) {
	at := v.v
	for name := range strings.SplitSeq(path, ".") {
		switch in := at.(type) {
		case map[string]any:
			inner, ok := in[name]
			if !ok {
				return value{}, false
			}
			at = inner
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(in) {
				return value{}, false
			}
			at = in[i]
		default:
			return value{}, false
		}
	}
	return value{v.t, v.from + " at " + path, at}, true
}

// at is the value at the path, which has to be there.
func (v value) at(path string) value {
	v.t.Helper()
	found, ok := v.find(path)
	if !ok {
		v.t.Fatalf("%s: nothing at %s in %s", v.from, path, v)
	}
	return found
}

// text is the string at the path.
func (v value) text(path string) string {
	v.t.Helper()
	s, ok := v.at(path).v.(string)
	if !ok {
		v.t.Fatalf("%s: no text at %s in %s", v.from, path, v)
	}
	return s
}

// number is the whole number at the path.
func (v value) number(path string) int64 {
	v.t.Helper()
	s, _ := v.at(path).v.(json.Number)
	n, err := s.Int64()
	if err != nil {
		v.t.Fatalf("%s: no whole number at %s in %s", v.from, path, v)
	}
	return n
}

// list is the items of the list at the path.
func (v value) list(path string) []value {
	v.t.Helper()
	items, ok := v.at(path).v.([]any)
	if !ok {
		v.t.Fatalf("%s: no list at %s in %s", v.from, path, v)
	}
	all := make([]value, len(items))
	for i, item := range items {
		all[i] = value{v.t, v.from, item}
	}
	return all
}

func (v value) String() string {
	text, err := json.Marshal(v.v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// money is a decimal amount in millionths.
func money(t testing.TB, s string) int64 {
	t.Helper()
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole+(fraction + "000000")[:6], 10, 64)
	if err != nil || len(fraction) > 6 {
		t.Fatalf("%q is no amount", s)
	}
	return n
}
