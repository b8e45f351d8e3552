package archive

import (
	"encoding/base64"

	"github.com/tallygate/tallygate/demo/job"
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
type InputError = job.InputError

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
		return request{}, job.BadInput("the input is %d bytes long; an archive may have at most %d bytes", len(input), limits.ArchiveBytes)
	}
	var wire struct {
		Archive string  `json:"archive"`
		Name    *string `json:"name"`
	}
	if err := job.Decode(input, &wire); err != nil {
		return request{}, err
	}

	if wire.Archive == "" {
		return request{}, job.BadInput("archive is missing; send it in base64")
	}
	archive, err := base64.StdEncoding.DecodeString(wire.Archive)
	if err != nil {
		return request{}, job.BadInput("archive is not standard base64 with padding: %v", err)
	}
	if len(archive) > limits.ArchiveBytes {
		return request{}, job.BadInput("the archive has %d bytes; at most %d are read", len(archive), limits.ArchiveBytes)
	}
	asked := request{archive: archive}
	if wire.Name != nil {
		const most = 255
		if asked.name = *wire.Name; len([]rune(asked.name)) > most {
			return request{}, job.BadInput("name is longer than %d characters", most)
		}
	}
	return asked, nil
}
