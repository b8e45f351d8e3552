package queue

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"github.com/tallygate/tallygate"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Fault is one thing that is wrong with a request's body.
type Fault struct {
	Pointer string // JSON pointer (RFC 6901) to the value, or to where a missing one should be
	Text    string
	Missing bool
}

// Faults are what is wrong with one request.
type Faults []Fault

// Err is MISSING_PARAMETER naming every missing value, else INVALID_PARAMETER naming every wrong one, else nil.
func (f Faults) Err() error {
	f = slices.Compact(slices.SortedFunc(slices.Values(f), func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Text, b.Text))
	}))
	for _, class := range []struct {
		code    tallygate.Code
		missing bool
	}{{tallygate.MissingParameter, true}, {tallygate.InvalidParameter, false}} {
		var lines []string
		field := ""
		for _, fault := range f {
			if fault.Missing == class.missing {
				lines = append(lines, oneLine(fault.Pointer, maxPointer)+": "+oneLine(fault.Text, maxText))
				if field == "" {
					field = fault.Pointer
				}
			}
		}
		if len(lines) > 0 {
			return &tallygate.Error{Code: class.code, Field: field, Detail: strings.Join(clip(lines), "; ")}
		}
	}
	return nil
}

// What a message lists at most: faults, and bytes of each, since both may repeat what the request holds.
const (
	maxFaults  = 50
	maxPointer = 200
	maxText    = 500
)

func clip(lines []string) []string {
	if len(lines) <= maxFaults {
		return lines
	}
	return append(lines[:maxFaults:maxFaults], fmt.Sprintf("and %d more", len(lines)-maxFaults))
}

// compileSchema reads a JSON Schema (2020-12). References outside the schema itself are refused: nothing is fetched.
func compileSchema(text []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if bad := unreasonable("", doc); len(bad) > 0 {
		return nil, fmt.Errorf("at %s: %s", bad[0].Pointer, bad[0].Text)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(schemaName, doc); err != nil {
		return nil, err
	}
	return c.Compile(schemaName)
}

// schemaName is what a schema is compiled as. Relative references within it are relative to schemaBase.
const (
	schemaBase = "tallygate:///"
	schemaName = schemaBase + "input"
)

type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("a schema may refer only to parts of itself")
}

var english = message.NewPrinter(language.English)

// checkInput returns what in the JSON input does not fit the schema. Pointers begin with at.
func checkInput(schema *jsonschema.Schema, at string, input []byte) Faults {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(input))
	if err != nil {
		return Faults{{Pointer: at, Text: "it is not JSON"}}
	}
	if bad := unreasonable(at, value); len(bad) > 0 {
		return bad
	}
	wrong, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(value))
	if !ok {
		return nil
	}
	return collect(nil, at, wrong)
}

// maxExponent and maxNumber bound the numbers that are checked: exact arithmetic on 1e999999 takes milliseconds and
// kilobytes, and the schema library cannot do it at all on what is larger.
const (
	maxExponent = 400 // past what a float64 holds
	maxNumber   = 1000
	maxValues   = 100_000 // each may be at fault, and the library tells all faults
)

// unreasonable lists numbers that are too long or have too large an exponent. Pointers begin with at.
func unreasonable(at string, value any) Faults {
	w := numberWalk{at: at}
	w.look(value)
	return w.faults
}

// numberWalk keeps the way to where it looks.
type numberWalk struct {
	at     string
	path   []string
	seen   int
	faults Faults
}

func (w *numberWalk) look(value any) {
	if w.seen++; w.seen > maxValues {
		if w.seen == maxValues+1 {
			w.faults = append(w.faults, Fault{Pointer: w.at, Text: fmt.Sprintf("must hold at most %d values", maxValues)})
		}
		return
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			w.step(name, member)
		}
	case []any:
		for i, element := range v {
			w.step(strconv.Itoa(i), element)
		}
	case json.Number:
		if !reasonable(string(v)) && len(w.faults) < maxFaults {
			w.faults = append(w.faults, Fault{
				Pointer: w.at + pointerTo(w.path),
				Text:    fmt.Sprintf("must be a number of at most %d characters with an exponent from -%d to %d", maxNumber, maxExponent, maxExponent),
			})
		}
	}
}

func (w *numberWalk) step(name string, value any) {
	w.path = append(w.path, name)
	w.look(value)
	w.path = w.path[:len(w.path)-1]
}

func reasonable(number string) bool {
	_, digits, found := strings.Cut(strings.ToLower(number), "e")
	exponent, err := strconv.Atoi(digits)
	return len(number) <= maxNumber && (!found || err == nil && -maxExponent <= exponent && exponent <= maxExponent)
}

// collect walks the tree of causes to its leaves. Where one of several alternatives had to fit, the alternatives' own
// faults would mislead: the choice as a whole is told.
func collect(faults Faults, at string, e *jsonschema.ValidationError) Faults {
	pointer := at + pointerTo(e.InstanceLocation)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return missing(faults, pointer, k.Missing, "is required")
	case *kind.DependentRequired:
		return missing(faults, pointer, k.Missing, "is required beside "+strconv.Quote(k.Prop))
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			faults = append(faults, Fault{Pointer: pointer + pointerTo([]string{name}), Text: "is not a known property"})
		}
		return faults
	case *kind.FalseSchema:
		return append(faults, Fault{Pointer: pointer, Text: "is not allowed"})
	case *kind.RefCycle:
		return append(faults, Fault{Pointer: pointer, Text: "cannot be checked: the job type's schema refers to itself without end"})
	case *kind.AnyOf:
		return append(faults, Fault{Pointer: pointer, Text: "fits none of the alternatives"})
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return append(faults, Fault{Pointer: pointer, Text: "fits more than one of the alternatives"})
		}
		return append(faults, Fault{Pointer: pointer, Text: "fits none of the alternatives"})
	case *kind.Not:
		return append(faults, Fault{Pointer: pointer, Text: "fits what is excluded"})
	case *kind.Enum:
		return append(faults, Fault{Pointer: pointer, Text: "must be one of " + listed(k.Want)})
	case *kind.Const:
		return append(faults, Fault{Pointer: pointer, Text: "must be " + listed([]any{k.Want})})
	case *kind.PropertyNames: // its location is not to be relied on: the library goes on writing to the slice
		for _, cause := range e.Causes {
			for _, fault := range collect(nil, "", cause) {
				faults = append(faults, Fault{Pointer: at, Text: fmt.Sprintf("has a property %q, whose name is not allowed: %s", k.Property, fault.Text)})
			}
		}
		return faults
	case *kind.Contains:
	default:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				faults = collect(faults, at, cause)
			}
			return faults
		}
	}
	return append(faults, Fault{Pointer: pointer, Text: e.ErrorKind.LocalizedString(english)})
}

// listed writes values as JSON with commas between.
func listed(values []any) string {
	var b strings.Builder
	for i, v := range values {
		if i > 0 {
			b.WriteString(", ")
		}
		text, err := json.Marshal(v)
		if err != nil {
			return "what the schema names"
		}
		b.Write(text)
	}
	return b.String()
}

func missing(faults Faults, pointer string, names []string, text string) Faults {
	for _, name := range names {
		faults = append(faults, Fault{Pointer: pointer + pointerTo([]string{name}), Text: text, Missing: true})
	}
	return faults
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointerTo writes a JSON pointer (RFC 6901).
func pointerTo(path []string) string {
	var b strings.Builder
	for _, step := range path {
		b.WriteByte('/')
		b.WriteString(pointerEscapes.Replace(step))
	}
	return b.String()
}
