package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// InputSchema is the JSON Schema (2020-12) of the input of [Inspect].
const InputSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Archive inspection input",
  "type": "object",
  "properties": {
    "archive": {"type": "string", "minLength": 1, "contentEncoding": "base64", "description": "The archive in standard base64: zip, tar.gz or tar."},
    "name": {"type": "string", "maxLength": 255, "description": "What to call it in the result."}
  },
  "required": ["archive"],
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
	archive []byte
	name    string
}

// mostInput gives the bytes that an input with the largest archive may have.
func mostInput(limits Limits) int {
	const besidesArchive = 64 << 10
	return base64.StdEncoding.EncodedLen(limits.ArchiveBytes) + besidesArchive
}

func parseRequest(input []byte, limits Limits) (request, error) {
	if len(input) > mostInput(limits) {
		return request{}, badInput("the input is %d bytes long; an archive may have at most %d bytes", len(input), limits.ArchiveBytes)
	}
	var wire struct {
		Archive string  `json:"archive"`
		Name    *string `json:"name"`
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

	if wire.Archive == "" {
		return request{}, badInput("archive is missing; send it in base64")
	}
	archive, err := base64.StdEncoding.DecodeString(wire.Archive)
	if err != nil {
		return request{}, badInput("archive is not standard base64 with padding: %v", err)
	}
	if len(archive) > limits.ArchiveBytes {
		return request{}, badInput("the archive has %d bytes; at most %d are read", len(archive), limits.ArchiveBytes)
	}
	asked := request{archive: archive}
	if wire.Name != nil {
		const most = 255
		if asked.name = *wire.Name; len([]rune(asked.name)) > most {
			return request{}, badInput("name is longer than %d characters", most)
		}
	}
	return asked, nil
}
