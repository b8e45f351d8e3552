package queue

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schemaFault says on one short line what compileSchema found wrong with a schema, and where. The library's own text
// is a tree over several lines; it names the schema as it was compiled and carries whatever the schema holds.
func schemaFault(err error) string {
	if err == nil {
		return ""
	}
	if wrong, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		if tree, ok := errors.AsType[*jsonschema.ValidationError](wrong.Err); ok {
			_, fragment, _ := strings.Cut(wrong.URL, "#") // of the part that a reference makes a schema
			if within, err := url.PathUnescape(fragment); err == nil {
				fragment = within
			}
			cause := telling(tree)
			what := oneLine(cause.ErrorKind.LocalizedString(english), 200)
			if at := fragment + pointerTo(cause.InstanceLocation); at != "" {
				return "at " + oneLine(at, 100) + ": " + what
			}
			return what
		}
	}
	var what string
	switch e := err.(type) {
	case *jsonschema.JSONPointerNotFoundError:
		what = fmt.Sprintf("nothing is at %q", e.URL)
	case *jsonschema.AnchorNotFoundError:
		what = fmt.Sprintf("nothing is at %q", e.Reference)
	case *jsonschema.DuplicateAnchorError: // the library meets the two in any order
		what = fmt.Sprintf("anchor %q stands at %q and at %q", e.Anchor, min(e.Ptr1, e.Ptr2), max(e.Ptr1, e.Ptr2))
	case *jsonschema.DuplicateIDError:
		what = fmt.Sprintf("$id %q stands at %q and at %q", e.ID, min(e.Ptr1, e.Ptr2), max(e.Ptr1, e.Ptr2))
	case *jsonschema.LoadURLError:
		what = fmt.Sprintf("%q: %v", e.URL, e.Err)
	default:
		what = err.Error()
	}
	return oneLine(strings.NewReplacer(schemaName, "", schemaBase, "").Replace(what), 200)
}

// telling is the cause that tells most: the one deepest in the schema. Of several at one place, which values fit tells
// more than which types do.
func telling(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(e.Causes) == 0 {
		return e
	}
	causes := make([]*jsonschema.ValidationError, len(e.Causes))
	for i, cause := range e.Causes {
		causes[i] = telling(cause)
	}
	ofType := func(e *jsonschema.ValidationError) int {
		if _, ok := e.ErrorKind.(*kind.Type); ok {
			return 1
		}
		return 0
	}
	best := slices.MinFunc(causes, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(
			cmp.Compare(len(b.InstanceLocation), len(a.InstanceLocation)),
			slices.Compare(a.InstanceLocation, b.InstanceLocation),
			cmp.Compare(ofType(a), ofType(b)),
		)
	})
	if _, ok := e.ErrorKind.(*kind.PropertyNames); ok { // a name has no place of its own
		return &jsonschema.ValidationError{InstanceLocation: e.InstanceLocation, ErrorKind: best.ErrorKind}
	}
	return best
}

// oneLine shows text of a schema within a message: what does not print is replaced, and of more than most bytes the
// middle is left out.
func oneLine(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most/2], "") + "…" + strings.ToValidUTF8(s[len(s)-most/2:], "")
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
