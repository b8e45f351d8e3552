package thumbnail

import (
	"encoding/base64"
	"fmt"
	"math"
	"strings"

	"github.com/tallygate/tallygate/demo/job"
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
type InputError = job.InputError

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
		return request{}, job.BadInput("the input is %d bytes long; a picture may have at most %d bytes", len(input), limits.SourceBytes)
	}
	var wire wireRequest
	if err := job.Decode(input, &wire); err != nil {
		return request{}, err
	}

	asked := request{quality: 85}
	if wire.Image == nil || *wire.Image == "" {
		return request{}, job.BadInput("image is missing; send the picture in base64")
	}
	if strings.HasPrefix(*wire.Image, "data:") {
		return request{}, job.BadInput("image is a data URL; send only the base64 after its comma")
	}
	picture, err := base64.StdEncoding.DecodeString(*wire.Image)
	if err != nil {
		return request{}, job.BadInput("image is not standard base64 with padding: %v", err)
	}
	if len(picture) > limits.SourceBytes {
		return request{}, job.BadInput("the picture has %d bytes; at most %d are read", len(picture), limits.SourceBytes)
	}
	asked.picture = picture

	single := wire.Width != nil || wire.Height != nil
	switch {
	case wire.Sizes != nil && single:
		return request{}, job.BadInput("sizes and width or height exclude each other; send one of them")
	case single:
		s, err := wire.wireSize.check("", limits)
		if err != nil {
			return request{}, err
		}
		asked.sizes = []size{s}
	case len(wire.Sizes) == 0:
		return request{}, job.BadInput("no size is given; send sizes, width or height")
	case len(wire.Sizes) > limits.Sizes:
		return request{}, job.BadInput("sizes has %d sizes; at most %d are made in one job", len(wire.Sizes), limits.Sizes)
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
			return request{}, job.BadInput("format is %q; it must be jpeg or png", job.Clip(*wire.Format))
		}
		asked.format = *wire.Format
	}
	if wire.Quality != nil {
		if *wire.Quality < 1 || *wire.Quality > 100 {
			return request{}, job.BadInput("quality is %d; it must be between 1 and 100", *wire.Quality)
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
			return size{}, job.BadInput("%s%s is %d; it must be between 1 and %d", at, side.name, *side.given, limits.Side)
		}
		*side.into = *side.given
	}
	if checked == (size{}) {
		return size{}, job.BadInput("%swidth or %sheight is missing", at, at)
	}
	return checked, nil
}
