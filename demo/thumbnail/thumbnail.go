// Package thumbnail makes small pictures of a large one. It reads JPEG, PNG,
// GIF (the first frame) and WebP, turns a JPEG the way its EXIF orientation
// asks, keeps the aspect ratio and never enlarges.
//
// A job cannot cost more than [Limits] allow: the dimensions are read before
// any pixel is, scaling streams over a few rows at a time, and encoding stops
// at its bound. It refuses animated WebP, and keeps no metadata or colour
// profile of the source.
package thumbnail

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"

	"github.com/tallygate/tallygate/demo/job"
)

// Limits bound what one job may cost the machine. A zero field takes its
// value from [DefaultLimits].
type Limits struct {
	SourceBytes  int   // bytes of the encoded picture
	SourcePixels int64 // width times height; one takes up to 8 bytes in memory, 16 while a progressive JPEG is read
	Sizes        int   // thumbnails of one job
	Side         int   // pixels on a side of a thumbnail
	ResultBytes  int   // bytes of all encoded thumbnails together
}

// DefaultLimits gives the limits of [Run].
func DefaultLimits() Limits {
	return Limits{
		SourceBytes:  32 << 20,
		SourcePixels: 50_000_000,
		Sizes:        10,
		Side:         4096,
		ResultBytes:  32 << 20,
	}
}

// maxSourceSide bounds one row of the source; JPEG, GIF and WebP cannot go past it.
const maxSourceSide = 1<<16 - 1

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	return Limits{
		SourceBytes:  cmp.Or(l.SourceBytes, d.SourceBytes),
		SourcePixels: cmp.Or(l.SourcePixels, d.SourcePixels),
		Sizes:        cmp.Or(l.Sizes, d.Sizes),
		Side:         cmp.Or(l.Side, d.Side),
		ResultBytes:  cmp.Or(l.ResultBytes, d.ResultBytes),
	}
}

type result struct {
	Source     source      `json:"source"`
	Thumbnails []thumbnail `json:"thumbnails"`
}

// source describes the picture as it is seen, after its orientation is applied.
type source struct {
	Format string `json:"format"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
}

type thumbnail struct {
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Format string `json:"format"`
	Bytes  int    `json:"bytes"`
	Image  []byte `json:"image"`
}

// Run makes the thumbnails that input asks for, within [DefaultLimits]. The
// input obeys [InputSchema]; the result is compact JSON. The one unit is
// "megapixel", the source's pixels in millions, rounded up. An [*InputError]
// is final; any other error is the context's or a fault of the machine.
//
// report may be nil. It gets a growing fraction from 0 to 1 and a log line,
// which is empty where only the fraction moved.
func Run(ctx context.Context, input []byte, report func(fraction float64, log string)) (result []byte, units map[string]int64, err error) {
	return Limits{}.Run(ctx, input, report)
}

// Run is the package's [Run] within other limits.
func (l Limits) Run(ctx context.Context, input []byte, report func(fraction float64, log string)) ([]byte, map[string]int64, error) {
	limits, steps := l.orDefault(), progress{report: report}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	asked, err := parseRequest(input, limits)
	if err != nil {
		return nil, nil, err
	}

	// Reading takes about as long as everything after it.
	const reading = 0.5
	pic, err := decode(ctx, asked.picture, limits, func(f float64) { steps.to(reading*f, "") })
	if err != nil {
		return nil, nil, err
	}
	width, height := pic.seen()
	steps.to(reading, fmt.Sprintf("read a %s of %d x %d pixels", pic.format, width, height))

	format := asked.format
	if format == "" {
		format = "jpeg"
		if pic.format == "png" || pic.format == "gif" || !pic.opaque {
			format = "png"
		}
	}
	out := result{Source: source{pic.format, width, height}}
	left := limits.ResultBytes
	for i, want := range asked.sizes {
		share := (1 - reading) / float64(len(asked.sizes))
		start := reading + share*float64(i)
		w, h := want.fit(width, height, limits.Side)
		img, err := pic.shrink(ctx, w, h, format == "jpeg", func(f float64) { steps.to(start+0.8*share*f, "") })
		if err != nil {
			return nil, nil, err
		}
		encoded := &boundedBuffer{ctx: ctx, left: left}
		if err := encode(encoded, img, format, asked.quality); err != nil {
			if encoded.full {
				return nil, nil, job.BadInput("the thumbnails take more than %d bytes; ask for fewer, smaller ones, or for jpeg", limits.ResultBytes)
			}
			return nil, nil, fmt.Errorf("encode %s of %d x %d: %w", format, w, h, err)
		}
		left = encoded.left
		out.Thumbnails = append(out.Thumbnails, thumbnail{w, h, format, encoded.Len(), encoded.Bytes()})
		steps.to(start+share, fmt.Sprintf("made a %s of %d x %d pixels, %d bytes", format, w, h, encoded.Len()))
	}

	encoded, err := json.Marshal(out)
	if err != nil {
		return nil, nil, fmt.Errorf("encode result: %w", err)
	}
	return encoded, map[string]int64{"megapixel": megapixels(width, height)}, nil
}

func megapixels(width, height int) int64 {
	return (int64(width)*int64(height) + 999_999) / 1_000_000
}

func encode(w *boundedBuffer, img image.Image, format string, quality int) error {
	if format == "jpeg" {
		return jpeg.Encode(w, img, &jpeg.Options{Quality: quality})
	}
	return png.Encode(w, img)
}

// boundedBuffer collects an encoder's output, and stops the encoder at its
// bound or when the context ends.
type boundedBuffer struct {
	bytes.Buffer
	ctx  context.Context
	left int
	full bool
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if len(p) > b.left {
		b.full = true
		return 0, fmt.Errorf("%d bytes past the bound", len(p)-b.left)
	}
	b.left -= len(p)
	return b.Buffer.Write(p)
}

// progress passes on a fraction that grows by at least a hundredth, and every log line.
type progress struct {
	report func(float64, string)
	last   float64
}

func (p *progress) to(fraction float64, log string) {
	if p.report == nil || log == "" && fraction < p.last+0.01 {
		return
	}
	p.last = max(p.last, min(fraction, 1))
	p.report(p.last, log)
}
