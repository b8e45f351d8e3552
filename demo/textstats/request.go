package textstats

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// InputSchema is the JSON Schema (2020-12) of the input of [Analyse].
const InputSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Text statistics input",
  "type": "object",
  "properties": {
    "text": {"type": "string", "description": "The text to count, at most 16 MiB of UTF-8."},
    "top": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 10, "description": "How many of the most frequent words to list."}
  },
  "required": ["text"],
  "additionalProperties": false
}`

// InputError says what is wrong with a job's input. The same input fails
// every time, so such a job must not be tried again.
type InputError struct {
	Reason string
}

func (e *InputError) Error() string { return e.Reason }

func badInput(format string, args ...any) error {
	return &InputError{Reason: fmt.Sprintf(format, args...)}
}

// request is the input once it is checked.
type request struct {
	text string
	top  int
}

func parseRequest(input []byte, mostBytes int) (request, error) {
	if !utf8.Valid(input) {
		return request{}, badInput("the input is not UTF-8")
	}
	var wire struct {
		Text *string `json:"text"`
		Top  *int    `json:"top"`
	}
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&wire); err != nil {
		var mistyped *json.UnmarshalTypeError
		switch {
		case errors.As(err, &mistyped) && mistyped.Field == "":
			return request{}, badInput("the input must be a JSON object, not %s", shown(mistyped.Value))
		case errors.As(err, &mistyped):
			return request{}, badInput("%s cannot be a %s", mistyped.Field, shown(mistyped.Value))
		}
		return request{}, badInput("the input is refused: %s", shown(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return request{}, badInput("the input goes on after its JSON object")
	}

	asked := request{top: defaultTop}
	if wire.Text == nil {
		return request{}, badInput("text is missing")
	}
	if asked.text = *wire.Text; len(asked.text) > mostBytes {
		return request{}, badInput("text has %d bytes; at most %d are counted", len(asked.text), mostBytes)
	}
	if wire.Top != nil {
		if asked.top = *wire.Top; asked.top < 0 || asked.top > maxTop {
			return request{}, badInput("top is %d; it must be between 0 and %d", asked.top, maxTop)
		}
	}
	return asked, nil
}
