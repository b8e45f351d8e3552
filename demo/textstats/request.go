package textstats

import (
	"unicode/utf8"

	"github.com/tallygate/tallygate/demo/job"
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
type InputError = job.InputError

// request is the input once it is checked.
type request struct {
	text string
	top  int
}

func parseRequest(input []byte, mostBytes int) (request, error) {
	if !utf8.Valid(input) {
		return request{}, job.BadInput("the input is not UTF-8")
	}
	var wire struct {
		Text *string `json:"text"`
		Top  *int    `json:"top"`
	}
	if err := job.Decode(input, &wire); err != nil {
		return request{}, err
	}

	asked := request{top: defaultTop}
	if wire.Text == nil {
		return request{}, job.BadInput("text is missing")
	}
	if asked.text = *wire.Text; len(asked.text) > mostBytes {
		return request{}, job.BadInput("text has %d bytes; at most %d are counted", len(asked.text), mostBytes)
	}
	if wire.Top != nil {
		if asked.top = *wire.Top; asked.top < 0 || asked.top > maxTop {
			return request{}, job.BadInput("top is %d; it must be between 0 and %d", asked.top, maxTop)
		}
	}
	return asked, nil
}
