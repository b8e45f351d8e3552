package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tallygate/tallygate"
)

// object is a JSON object of a request, cut into its members. Its getters return what a member says, and note what is
// wrong with it among the faults: a member that is missing, of a wrong type or out of range. done notes the members
// that nobody asked for. A getter of something optional takes null as absent.
type object struct {
	at      string // JSON pointer (RFC 6901) to the object, empty at the root
	faults  *faults
	members []member
	asked   []string
	room    [16]string // for asked, so that a usual request needs no more
}

type member struct {
	name  []byte // as it reads
	value []byte // as it was sent
	known bool
}

// maxDepth bounds how deep values nest in each other.
const maxDepth = 100

// maxMembers bounds the members of an object that is cut. What a job's input holds is not cut here.
const maxMembers = 1000

// parseBody checks that the body is one JSON text: UTF-8, no name twice in one object, nothing after it, not too deep.
func parseBody(body []byte) error {
	if tooDeep(body) {
		return tallygate.Errorf(tallygate.InvalidRequest, "the body nests deeper than %d levels", maxDepth)
	}
	if jsontext.Value(body).IsValid() {
		return nil
	}
	return tallygate.Errorf(tallygate.InvalidFormat, "the body is not one JSON value: %s", syntaxFault(body))
}

// syntaxFault says what is wrong and where.
func syntaxFault(body []byte) string {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(body))
	_, err := decoder.ReadValue()
	if err == nil {
		if _, err = decoder.ReadToken(); err == nil || !errors.Is(err, io.EOF) {
			return at(body, decoder.InputOffset()) + "there is more after its end"
		}
	}
	fault, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return "it ends too early"
	}
	if errors.Is(fault.Err, jsontext.ErrDuplicateName) {
		return fmt.Sprintf("the name at %s stands there twice", quoted(string(fault.JSONPointer)))
	}
	return at(body, fault.ByteOffset) + printable(fault.Err.Error())
}

// at names a place in the body, for people.
func at(body []byte, offset int64) string {
	before := body[:min(max(0, offset), int64(len(body)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("line %d, column %d: ", line, column)
}

// tooDeep counts brackets outside of strings; only where there are enough of them at all.
func tooDeep(body []byte) bool {
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) <= maxDepth {
		return false
	}
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '"':
			i = endOfString(body, i) - 1
		case '[', '{':
			if depth++; depth > maxDepth {
				return true
			}
		case ']', '}':
			depth--
		}
	}
	return false
}

// endOfString is the offset past the string that begins at i.
func endOfString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b)
}

// endOfValue is the offset past the value that begins at i, within a valid JSON text.
func endOfValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return endOfString(b, i)
	case '{', '[':
		depth := 0
		for i < len(b) {
			switch b[i] {
			case '"':
				i = endOfString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
		return i
	}
	for i < len(b) && !isSpace(b[i]) && b[i] != ',' && b[i] != '}' && b[i] != ']' {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// newObject cuts a valid JSON text into the members of the object that it is; ok is false where it is no object.
func newObject(f *faults, at string, text []byte) (o *object, ok bool) {
	o = &object{at: at, faults: f}
	o.asked = o.room[:0]
	i := skipSpace(text, 0)
	if i == len(text) || text[i] != '{' {
		return o, false
	}
	o.members = make([]member, 0, 8)
	for i = skipSpace(text, i+1); i < len(text) && text[i] != '}'; i = skipSpace(text, i) {
		if len(o.members) == maxMembers {
			f.add(tallygate.InvalidParameter, at, "%s: there are more than %d members", shown(at), maxMembers)
			break
		}
		if text[i] == ',' {
			i = skipSpace(text, i+1)
		}
		end := endOfString(text, i)
		name := text[i+1 : end-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			name, _ = jsontext.AppendUnquote(nil, text[i:end])
		}
		i = skipSpace(text, skipSpace(text, end)+1) // the colon
		end = endOfValue(text, i)
		o.members = append(o.members, member{name: name, value: text[i:end:end]})
		i = end
	}
	return o, true
}

// elements cuts a valid JSON array into its values; ok is false where text is no array, or one of more than most.
func elements(text []byte, most int) (values [][]byte, ok bool) {
	i := skipSpace(text, 0)
	if i == len(text) || text[i] != '[' {
		return nil, false
	}
	for i = skipSpace(text, i+1); i < len(text) && text[i] != ']'; i = skipSpace(text, i) {
		if len(values) == most {
			return nil, false
		}
		if text[i] == ',' {
			i = skipSpace(text, i+1)
		}
		end := endOfValue(text, i)
		values = append(values, text[i:end:end])
		i = end
	}
	return values, true
}

// field is how a member is named in a message: by its name at the root, else by its pointer.
func (o *object) field(name string) string {
	if o.at == "" {
		return name
	}
	return o.at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// raw is the member's value as it was sent, nil where there is none.
func (o *object) raw(name string) []byte {
	o.asked = append(o.asked, name)
	for i := range o.members {
		if m := &o.members[i]; string(m.name) == name {
			m.known = true
			return m.value
		}
	}
	return nil
}

// optional is like raw and takes null as absent.
func (o *object) optional(name string) []byte {
	if v := o.raw(name); !isNull(v) {
		return v
	}
	return nil
}

func isNull(v []byte) bool { return len(v) == 4 && v[0] == 'n' }

// required is like raw and notes a missing member.
func (o *object) required(name string) []byte {
	v := o.raw(name)
	if v == nil {
		o.faults.missing(o.field(name))
	}
	return v
}

// done notes the members that nobody asked for.
func (o *object) done() {
	for i := range o.members {
		if m := &o.members[i]; !m.known {
			o.faults.unknown("field", o.field(string(m.name)), string(m.name), o.asked)
		}
	}
}

func (o *object) invalid(name, format string, args ...any) {
	o.faults.invalid(o.field(name), format, args...)
}

// text is a string of at most limit characters, and whether there is one.
func (o *object) text(name string, limit int) (string, bool) {
	v := o.optional(name)
	if v == nil {
		return "", false
	}
	if v[0] != '"' {
		o.invalid(name, "must be a string")
		return "", false
	}
	s := unquote(v)
	if utf8.RuneCountInString(s) > limit {
		o.invalid(name, "must have at most %d characters", limit)
		return "", false
	}
	return s, true
}

// requiredText is a string that is there and not empty.
func (o *object) requiredText(name string, limit int) string {
	if v := o.raw(name); v == nil || isNull(v) {
		o.faults.missing(o.field(name))
		return ""
	}
	s, ok := o.text(name, limit)
	if ok && s == "" {
		o.invalid(name, "must not be empty")
	}
	return s
}

func unquote(v []byte) string {
	if bytes.IndexByte(v, '\\') < 0 {
		return string(v[1 : len(v)-1])
	}
	s, _ := jsontext.AppendUnquote(nil, v)
	return string(s)
}

// wholeNumber is a JSON number without a fraction, however it is written: 5, 5.0 and 50e-1 are the same to JSON Schema.
func wholeNumber(v []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(v), 10, 64)
	if err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || v[0] == '"' || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// integer is a whole number within bounds, or what is given for absent.
func (o *object) integer(name string, absent, least, most int64) int64 {
	v := o.optional(name)
	if v == nil {
		return absent
	}
	n, ok := wholeNumber(v)
	if !ok || n < least || n > most {
		o.invalid(name, "must be a whole number from %d to %d, not %s", least, most, shown(string(v)))
		return absent
	}
	return n
}

// number is a number within bounds, and whether there is one.
func (o *object) number(name string, least, most float64) (float64, bool) {
	v := o.optional(name)
	if v == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || v[0] == '"' || n < least || n > most {
		o.invalid(name, "must be a number from %v to %v, not %s", least, most, shown(string(v)))
		return 0, false
	}
	return n, true
}

// count is a whole number of any size, nil where there is none.
func (o *object) count(name string) *int64 {
	v := o.optional(name)
	if v == nil {
		return nil
	}
	n, ok := wholeNumber(v)
	if !ok {
		o.invalid(name, "must be a whole number, not %s", shown(string(v)))
	}
	return &n
}

// decimal is a number of any size, nil where there is none.
func (o *object) decimal(name string) *float64 {
	v := o.optional(name)
	if v == nil {
		return nil
	}
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil {
		o.invalid(name, "must be a number, not %s", shown(string(v)))
	}
	return &n
}

// boolean is true or false, or what is given for absent.
func (o *object) boolean(name string, absent bool) bool {
	switch v := o.optional(name); string(v) {
	case "":
		return absent
	case "true":
		return true
	case "false":
		return false
	default:
		o.invalid(name, "must be true or false, not %s", shown(string(v)))
		return absent
	}
}

// duration is a time in Go's notation within bounds, or what is given for absent.
func (o *object) duration(name string, absent, least, most time.Duration) time.Duration {
	v := o.optional(name)
	if v == nil {
		return absent
	}
	d, err := time.Duration(0), errors.New("not a string")
	if v[0] == '"' {
		d, err = time.ParseDuration(unquote(v))
	}
	if err != nil || d < least || d > most {
		o.invalid(name, `must be a duration from %s to %s such as "30s", not %s`, short(least), short(most), shown(string(v)))
		return absent
	}
	return d
}

// money is an amount, and whether there is one.
func (o *object) money(name string) (tallygate.Money, bool) {
	v := o.optional(name)
	if v == nil {
		return 0, false
	}
	if v[0] != '"' {
		o.invalid(name, `must be an amount in a string such as "25.00", not %s`, shown(string(v)))
		return 0, false
	}
	m, err := tallygate.ParseMoney(unquote(v))
	if err != nil {
		o.invalid(name, "is wrong: %s", err)
		return 0, false
	}
	return m, true
}

// time is an RFC 3339 time, the zero time where there is none.
func (o *object) time(name string) time.Time {
	v := o.optional(name)
	if v == nil {
		return time.Time{}
	}
	if v[0] == '"' {
		if t, ok := parseTime(unquote(v)); ok {
			return t
		}
	}
	o.invalid(name, `must be an RFC 3339 time such as "2026-01-31T15:04:05Z", not %s`, shown(string(v)))
	return time.Time{}
}

// time.Parse takes more: a comma before the fraction, an hour of one digit, an offset of days.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// parseTime reads an RFC 3339 time of the years in which the store can keep it.
func parseTime(s string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !rfc3339.MatchString(s) || t.Year() < 1970 || t.Year() > 2200 {
		return time.Time{}, false
	}
	return t.UTC(), true
}

// texts is a list of strings, and whether there is one.
func (o *object) texts(name string, most int) ([]string, bool) {
	v := o.optional(name)
	if v == nil {
		return nil, false
	}
	values, ok := elements(v, most)
	if !ok {
		o.invalid(name, "must be a list of at most %d strings", most)
		return nil, false
	}
	list := make([]string, 0, len(values))
	for i, one := range values {
		if one[0] != '"' {
			o.faults.invalid(fmt.Sprintf("%s/%d", o.pointer(name), i), "must be a string")
			continue
		}
		list = append(list, unquote(one))
	}
	return list, true
}

// pointer is the JSON pointer to a member.
func (o *object) pointer(name string) string {
	if o.at == "" {
		return "/" + name
	}
	return o.field(name)
}

// object is a nested object, and whether there is one.
func (o *object) object(name string) (*object, bool) {
	v := o.optional(name)
	if v == nil {
		return nil, false
	}
	nested, ok := newObject(o.faults, o.pointer(name), v)
	if !ok {
		o.invalid(name, "must be an object")
	}
	return nested, ok
}

// rawObject is a nested object of at most limit bytes, as it was sent; nil where there is none.
func (o *object) rawObject(name string, limit int) []byte {
	v := o.optional(name)
	switch {
	case v == nil:
		return nil
	case v[0] != '{':
		o.invalid(name, "must be an object")
		return nil
	case len(v) > limit:
		o.invalid(name, "must have at most %d bytes", limit)
		return nil
	}
	return v
}
