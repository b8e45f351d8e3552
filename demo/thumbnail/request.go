package thumbnail

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// InputSchema is the JSON Schema (2020-12) of the input of [Run], within
// [DefaultLimits].
const InputSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "title": "Thumbnail input",
  "type": "object",
  "properties": {
    "image": {"type": "string", "minLength": 1, "contentEncoding": "base64", "description": "The picture in standard base64: JPEG, PNG, GIF or WebP."},
    "sizes": {
      "type": "array", "minItems": 1, "maxItems": 10,
      "description": "One thumbnail is made for each size. With width and height it fits inside that box; it is never larger than the picture.",
      "items": {
        "type": "object",
        "properties": {
          "width": {"type": "integer", "minimum": 1, "maximum": 4096},
          "height": {"type": "integer", "minimum": 1, "maximum": 4096}
        },
        "anyOf": [{"required": ["width"]}, {"required": ["height"]}],
        "additionalProperties": false
      }
    },
    "width": {"type": "integer", "minimum": 1, "maximum": 4096, "description": "Width of a single thumbnail, in place of sizes."},
    "height": {"type": "integer", "minimum": 1, "maximum": 4096, "description": "Height of a single thumbnail, in place of sizes."},
    "format": {"enum": ["jpeg", "png"], "description": "Default: png where the picture is transparent or a PNG or GIF, else jpeg."},
    "quality": {"type": "integer", "minimum": 1, "maximum": 100, "default": 85, "description": "Of a jpeg."}
  },
  "required": ["image"],
  "oneOf": [{"required": ["sizes"]}, {"anyOf": [{"required": ["width"]}, {"required": ["height"]}]}],
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
	picture []byte
	sizes   []size
	format  string // "" where it follows from the picture
	quality int
}

// size is a box to fit into; a side of 0 is free.
type size struct {
	width, height int
}

// fit gives the largest sides of the same ratio as width × height that go
// inside the size, within limit, without growing.
func (s size) fit(width, height, limit int) (w, h int) {
	scale := 1.0
	for _, side := range [][2]int{{s.width, width}, {s.height, height}, {limit, width}, {limit, height}} {
		if asked, real := side[0], side[1]; asked > 0 {
			scale = min(scale, float64(asked)/float64(real))
		}
	}
	return max(1, int(math.Round(float64(width)*scale))), max(1, int(math.Round(float64(height)*scale)))
}

type wireSize struct {
	Width  *int `json:"width"`
	Height *int `json:"height"`
}

type wireRequest struct {
	Image   *string    `json:"image"`
	Sizes   []wireSize `json:"sizes"`
	Format  *string    `json:"format"`
	Quality *int       `json:"quality"`
	wireSize
}

func parseRequest(input []byte, limits Limits) (request, error) {
	const besidesImage = 64 << 10
	if len(input) > base64.StdEncoding.EncodedLen(limits.SourceBytes)+besidesImage {
		return request{}, badInput("the input is %d bytes long; a picture may have at most %d bytes", len(input), limits.SourceBytes)
	}
	var wire wireRequest
	if err := decodeStrictly(input, &wire); err != nil {
		return request{}, err
	}

	asked := request{quality: 85}
	if wire.Image == nil || *wire.Image == "" {
		return request{}, badInput("image is missing; send the picture in base64")
	}
	if strings.HasPrefix(*wire.Image, "data:") {
		return request{}, badInput("image is a data URL; send only the base64 after its comma")
	}
	picture, err := base64.StdEncoding.DecodeString(*wire.Image)
	if err != nil {
		return request{}, badInput("image is not standard base64 with padding: %v", err)
	}
	if len(picture) > limits.SourceBytes {
		return request{}, badInput("the picture has %d bytes; at most %d are read", len(picture), limits.SourceBytes)
	}
	asked.picture = picture

	single := wire.Width != nil || wire.Height != nil
	switch {
	case wire.Sizes != nil && single:
		return request{}, badInput("sizes and width or height exclude each other; send one of them")
	case single:
		s, err := wire.wireSize.check("", limits)
		if err != nil {
			return request{}, err
		}
		asked.sizes = []size{s}
	case len(wire.Sizes) == 0:
		return request{}, badInput("no size is given; send sizes, width or height")
	case len(wire.Sizes) > limits.Sizes:
		return request{}, badInput("sizes has %d sizes; at most %d are made in one job", len(wire.Sizes), limits.Sizes)
	default:
		for i, given := range wire.Sizes {
			s, err := given.check(fmt.Sprintf("sizes[%d].", i), limits)
			if err != nil {
				return request{}, err
			}
			asked.sizes = append(asked.sizes, s)
		}
	}

	if wire.Format != nil {
		if *wire.Format != "jpeg" && *wire.Format != "png" {
			return request{}, badInput("format is %q; it must be jpeg or png", clip(*wire.Format))
		}
		asked.format = *wire.Format
	}
	if wire.Quality != nil {
		if *wire.Quality < 1 || *wire.Quality > 100 {
			return request{}, badInput("quality is %d; it must be between 1 and 100", *wire.Quality)
		}
		asked.quality = *wire.Quality
	}
	return asked, nil
}

func (s wireSize) check(at string, limits Limits) (size, error) {
	var checked size
	for _, side := range []struct {
		name  string
		given *int
		into  *int
	}{{"width", s.Width, &checked.width}, {"height", s.Height, &checked.height}} {
		if side.given == nil {
			continue
		}
		if *side.given < 1 || *side.given > limits.Side {
			return size{}, badInput("%s%s is %d; it must be between 1 and %d", at, side.name, *side.given, limits.Side)
		}
		*side.into = *side.given
	}
	if checked == (size{}) {
		return size{}, badInput("%swidth or %sheight is missing", at, at)
	}
	return checked, nil
}

// decodeStrictly reads exactly one JSON object into v and refuses unknown fields.
func decodeStrictly(input []byte, v any) error {
	decoder := json.NewDecoder(bytes.NewReader(input))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		var mistyped *json.UnmarshalTypeError
		switch {
		case errors.As(err, &mistyped) && mistyped.Field == "":
			return badInput("the input must be a JSON object, not %s", clip(mistyped.Value))
		case errors.As(err, &mistyped):
			return badInput("%s cannot be a %s", clip(mistyped.Field), clip(mistyped.Value))
		}
		return badInput("the input is refused: %s", clip(strings.TrimPrefix(err.Error(), "json: ")))
	}
	if _, err := decoder.Token(); err != io.EOF {
		return badInput("the input goes on after its JSON object")
	}
	return nil
}

// clip keeps what a caller sent from filling a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
