package thumbnail

import (
	"context"
	"image"
	"image/draw"
	"math"

	xdraw "golang.org/x/image/draw"
)

// shrink draws the picture, as it is seen, at width × height: on white where
// flat is set, else with its transparency.
//
// It applies the Catmull-Rom kernel in two passes, columns then rows, over a
// window of source rows, so that it takes memory for a few rows and the
// thumbnail, however large the picture is.
func (p picture) shrink(ctx context.Context, width, height int, flat bool, report func(float64)) (image.Image, error) {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	w, h := width, height // as stored
	if p.orientation.swapsSides() {
		w, h = h, w
	}
	columns, rows := weigh(p.canvas.Dx(), w), weigh(p.canvas.Dy(), h)
	window := newWindow(columns, rows)
	source := newRowReader(p)
	sum := make([]float32, 4*w)
	for y, row := range rows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for ; window.next < row.first+len(row.weights); window.next++ {
			// A tiny thumbnail has few rows of its own, each made of many of the source.
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			window.push(source.read(window.next), columns)
		}
		clear(sum)
		for k, weight := range row.weights {
			for i, v := range window.row(row.first + k) {
				sum[i] += weight * v
			}
		}
		for x := range w {
			atX, atY := p.orientation.place(x, y, w, h)
			setPixel(img.Pix[img.PixOffset(atX, atY):][:4], sum[4*x:4*x+4], flat, p.opaque)
		}
		report(float64(y+1) / float64(h))
	}
	if flat {
		// The JPEG encoder has a fast path for RGBA; without transparency the bytes are the same.
		return &image.RGBA{Pix: img.Pix, Stride: img.Stride, Rect: img.Rect}, nil
	}
	return img, nil
}

// setPixel writes the premultiplied colour c, in 0 to 255. The kernel has
// negative weights, so each value may overshoot its range.
func setPixel(pix []uint8, c []float32, flat, opaque bool) {
	alpha := min(max(c[3], 0), 255)
	switch {
	case opaque:
		for i := range 3 {
			pix[i] = round(c[i])
		}
		pix[3] = 255
	case flat:
		for i := range 3 {
			pix[i] = round(min(c[i], alpha) + 255 - alpha)
		}
		pix[3] = 255
	case alpha >= 0.5:
		for i := range 3 {
			pix[i] = round(c[i] * 255 / alpha)
		}
		pix[3] = round(alpha)
	}
}

func round(v float32) uint8 { return uint8(min(max(v, 0), 255) + 0.5) }

// tap says which source columns or rows make one of the thumbnail.
type tap struct {
	first   int
	weights []float32
}

// weigh spreads the kernel over from source pixels for each of to pixels.
// Shrinking widens the kernel, so that every source pixel counts.
func weigh(from, to int) []tap {
	kernel := xdraw.CatmullRom
	scale := float64(from) / float64(to)
	reach, narrow := kernel.Support*max(scale, 1), 1/max(scale, 1)
	taps := make([]tap, to)
	for i := range taps {
		center := (float64(i)+0.5)*scale - 0.5
		first := max(0, int(math.Floor(center-reach)))
		last := min(from-1, int(math.Ceil(center+reach)))
		for first < last && kernelAt(kernel, (center-float64(first))*narrow) == 0 {
			first++
		}
		for last > first && kernelAt(kernel, (center-float64(last))*narrow) == 0 {
			last--
		}
		weights, total := make([]float32, last-first+1), 0.0
		for k := range weights {
			total += kernelAt(kernel, (center-float64(first+k))*narrow)
		}
		for k := range weights {
			weights[k] = float32(kernelAt(kernel, (center-float64(first+k))*narrow) / total)
		}
		taps[i] = tap{first, weights}
	}
	return taps
}

func kernelAt(kernel *xdraw.Kernel, t float64) float64 {
	if t = math.Abs(t); t < kernel.Support {
		return kernel.At(t)
	}
	return 0
}

// window keeps the source rows that the next row of the thumbnail needs, their
// columns already shrunk.
type window struct {
	rows [][]float32 // source row y is at y modulo their number
	next int         // the first source row that is not in yet
}

func newWindow(columns, rows []tap) *window {
	most := 1
	for _, row := range rows {
		most = max(most, len(row.weights))
	}
	w := &window{rows: make([][]float32, most)}
	for i := range w.rows {
		w.rows[i] = make([]float32, 4*len(columns))
	}
	return w
}

func (w *window) row(y int) []float32 { return w.rows[y%len(w.rows)] }

// push shrinks the columns of the source row that comes next.
func (w *window) push(source []float32, columns []tap) {
	out := w.row(w.next)
	for x, column := range columns {
		var r, g, b, a float32
		pixels := source[4*column.first:]
		for k, weight := range column.weights {
			pixel := pixels[4*k : 4*k+4 : 4*k+4]
			r += weight * pixel[0]
			g += weight * pixel[1]
			b += weight * pixel[2]
			a += weight * pixel[3]
		}
		o := out[4*x : 4*x+4 : 4*x+4]
		o[0], o[1], o[2], o[3] = r, g, b, a
	}
}

// rowReader gives the rows of a picture as premultiplied red, green, blue and
// alpha from 0 to 255, whatever the picture's own colours are.
type rowReader struct {
	picture picture
	band    *image.RGBA // some rows in one go: converting one by one costs more
	first   int         // of the band
	values  []float32
}

func newRowReader(p picture) *rowReader {
	const bandRows = 16
	return &rowReader{
		picture: p,
		band:    image.NewRGBA(image.Rect(0, 0, p.canvas.Dx(), min(bandRows, p.canvas.Dy()))),
		first:   math.MinInt / 2,
		values:  make([]float32, 4*p.canvas.Dx()),
	}
}

// read gives row y; it is valid until the next call.
func (r *rowReader) read(y int) []float32 {
	if img, ok := r.picture.img.(*image.NRGBA); ok && img.Rect == r.picture.canvas {
		// Straight from the source: eight bits of a faint premultiplied colour would band.
		for i, pix := 0, img.Pix[y*img.Stride:]; i < len(r.values); i += 4 {
			alpha := float32(pix[i+3])
			r.values[i] = float32(pix[i]) * alpha / 255
			r.values[i+1] = float32(pix[i+1]) * alpha / 255
			r.values[i+2] = float32(pix[i+2]) * alpha / 255
			r.values[i+3] = alpha
		}
		return r.values
	}
	if y < r.first || y >= r.first+r.band.Rect.Dy() {
		r.first = y
		if !r.picture.canvas.In(r.picture.img.Bounds()) {
			clear(r.band.Pix)
		}
		draw.Draw(r.band, r.band.Rect, r.picture.img, r.picture.canvas.Min.Add(image.Pt(0, y)), draw.Src)
	}
	for i, v := range r.band.Pix[(y-r.first)*r.band.Stride:][:len(r.values)] {
		r.values[i] = float32(v)
	}
	return r.values
}
