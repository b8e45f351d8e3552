package thumbnail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"github.com/tallygate/tallygate/demo/job"
	"golang.org/x/image/webp"
)

// picture is a decoded source.
type picture struct {
	format      string
	img         image.Image
	canvas      image.Rectangle // the whole picture; a GIF's frame may cover a part of it
	orientation orientation
	opaque      bool
}

// seen gives the sides after the orientation is applied.
func (p picture) seen() (width, height int) {
	width, height = p.canvas.Dx(), p.canvas.Dy()
	if p.orientation.swapsSides() {
		return height, width
	}
	return width, height
}

type codec struct {
	format string
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}

// codecOf finds the format by the first bytes, whatever the picture is called.
func codecOf(data []byte) (codec, bool) {
	starts := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	switch {
	case starts("\xff\xd8\xff"):
		return codec{"jpeg", jpeg.DecodeConfig, jpeg.Decode}, true
	case starts("\x89PNG\r\n\x1a\n"):
		return codec{"png", png.DecodeConfig, png.Decode}, true
	case starts("GIF87a"), starts("GIF89a"):
		return codec{"gif", gif.DecodeConfig, gif.Decode}, true
	case starts("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		return codec{"webp", webp.DecodeConfig, webp.Decode}, true
	}
	return codec{}, false
}

// decode reads the dimensions first and refuses too large a picture before
// memory is taken for its pixels.
func decode(ctx context.Context, data []byte, limits Limits, report func(float64)) (pic picture, err error) {
	codec, ok := codecOf(data)
	if !ok {
		return picture{}, job.BadInput("the image is not a JPEG, PNG, GIF or WebP")
	}
	// The decoders meet bytes from strangers: a panic there is a broken picture, not a broken server.
	defer func() {
		if cause := recover(); cause != nil {
			pic, err = picture{}, job.BadInput("the %s cannot be read: it is damaged", codec.format)
		}
	}()

	config, err := codec.config(bytes.NewReader(data))
	if err != nil {
		return picture{}, unreadable(codec.format, err)
	}
	if config.Width < 1 || config.Height < 1 {
		return picture{}, job.BadInput("the %s has no pixels: %d x %d", codec.format, config.Width, config.Height)
	}
	if config.Width > maxSourceSide || config.Height > maxSourceSide {
		return picture{}, job.BadInput("the %s is %d x %d; a side may have at most %d pixels", codec.format, config.Width, config.Height, maxSourceSide)
	}
	if pixels := int64(config.Width) * int64(config.Height); pixels > limits.SourcePixels {
		return picture{}, job.BadInput("the %s is %d x %d, %d pixels; at most %d are read", codec.format, config.Width, config.Height, pixels, limits.SourcePixels)
	}

	img, err := codec.decode(&reader{ctx: ctx, data: data, report: report})
	if ctx.Err() != nil {
		return picture{}, ctx.Err()
	}
	if err != nil {
		return picture{}, unreadable(codec.format, err)
	}
	pic = picture{format: codec.format, img: img, canvas: img.Bounds(), orientation: upright}
	if codec.format == "gif" {
		pic.canvas = image.Rect(0, 0, config.Width, config.Height)
	} else if img.Bounds().Dx() != config.Width || img.Bounds().Dy() != config.Height {
		return picture{}, job.BadInput("the %s declares %d x %d and holds %v", codec.format, config.Width, config.Height, img.Bounds().Size())
	}
	if codec.format == "jpeg" {
		pic.orientation = orientationOf(data)
	}
	pic.opaque = pic.canvas.In(img.Bounds()) && isOpaque(img)
	return pic, nil
}

func unreadable(format string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return job.BadInput("the %s cannot be read: it ends too early", format)
	}
	return job.BadInput("the %s cannot be read: %s", format, job.Clip(fmt.Sprint(err)))
}

func isOpaque(img image.Image) bool {
	o, ok := img.(interface{ Opaque() bool })
	return ok && o.Opaque()
}

// reader hands out the picture in pieces, so that a long decoding shows its
// progress and ends with the context.
type reader struct {
	ctx    context.Context
	data   []byte
	next   int
	report func(float64)
}

func (r *reader) Read(p []byte) (int, error) {
	const piece = 16 << 10
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.next == len(r.data) {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), piece)], r.data[r.next:])
	r.next += n
	r.report(float64(r.next) / float64(len(r.data)))
	return n, nil
}
