// Package job reads the input of the demo's jobs. It refuses what is not one JSON object with known members of the right
// kinds, in words for whoever sent it.
package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// InputError says what is wrong with a job's input. The same input fails every time, so such a job must not be tried
// again.
type InputError struct {
	Reason string
}

func (e *InputError) Error() string { return e.Reason }

// BadInput returns an [InputError].
func BadInput(format string, args ...any) error {
	return &InputError{Reason: fmt.Sprintf(format, args...)}
}

// Decode reads exactly one JSON object into v and refuses unknown fields. Its error is an [InputError].
func Decode(input []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		var mistyped *json.UnmarshalTypeError
		switch {
		case errors.As(err, &mistyped) && mistyped.Field == "":
			return BadInput("the input must be a JSON object, not %s", Clip(mistyped.Value))
		case errors.As(err, &mistyped):
			return BadInput("%s cannot be a %s", Clip(mistyped.Field), Clip(mistyped.Value))
		}
		return BadInput("the input is refused: %s", Clip(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return BadInput("the input goes on after its JSON object")
	}
	return nil
}

// Clip keeps what a caller sent from filling a message.
func Clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
