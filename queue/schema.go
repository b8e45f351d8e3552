package queue

import (
	"bytes"
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
	f = slices.SortedStableFunc(slices.Values(f), func(a, b Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
	for _, class := range []struct {
		code    tallygate.Code
		missing bool
	}{{tallygate.MissingParameter, true}, {tallygate.InvalidParameter, false}} {
		var lines []string
		field := ""
		for _, fault := range f {
			if fault.Missing == class.missing {
				lines = append(lines, fault.Pointer+": "+fault.Text)
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

// maxFaults bounds how many faults a message lists.
const maxFaults = 50

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
	wrong, ok := errors.AsType[*jsonschema.ValidationError](schema.Validate(value))
	if !ok {
		return nil
	}
	return collect(nil, at, wrong)
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
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains:
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
