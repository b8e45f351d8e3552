package thumbnail

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"strings"
	"testing"

	xdraw "golang.org/x/image/draw"
)

func TestSampleBecomesThreeThumbnailsOfTheSameRatio(t *testing.T) {
	out, units, err := Run(t.Context(), SampleInput(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if units["megapixel"] != 2 || len(units) != 1 {
		t.Errorf("units = %v, want 2 megapixel", units)
	}
	got := decodeResult(t, out)
	if got.Source != (source{"jpeg", 1600, 1200}) {
		t.Errorf("source = %v", got.Source)
	}
	want := []image.Point{{640, 480}, {160, 120}, {64, 48}}
	for i, thumb := range got.Thumbnails {
		if (image.Point{thumb.Width, thumb.Height}) != want[i] || thumb.Format != "jpeg" || thumb.Bytes != len(thumb.Image) {
			t.Errorf("thumbnail %d is a %s of %d x %d, %d bytes", i, thumb.Format, thumb.Width, thumb.Height, thumb.Bytes)
		}
		if size := imageOf(t, thumb).Bounds().Size(); size != want[i] {
			t.Errorf("thumbnail %d holds %v", i, size)
		}
	}
	if bytes.ContainsAny(out, " \n\t") {
		t.Error("the result is not compact")
	}
}

func TestEverySourceFormatIsRead(t *testing.T) {
	red := color.NRGBA{250, 5, 5, 255}
	for _, test := range []struct {
		name         string
		data         []byte
		source, made string
	}{
		{"jpeg", jpegOf(t, fill(60, 40, red)), "jpeg", "jpeg"},
		{"png", pngOf(t, fill(60, 40, red)), "png", "png"},
		{"gif", gifOf(t, fill(60, 40, red), image.Rect(0, 0, 60, 40)), "gif", "png"},
		{"lossless webp", losslessWebP(60, 40, red), "webp", "jpeg"},
		{"lossless webp with transparency", losslessWebP(60, 40, color.NRGBA{250, 5, 5, 100}), "webp", "png"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := mustRun(t, test.data, `"width":30`)
			if got.Source != (source{test.source, 60, 40}) {
				t.Errorf("source = %v", got.Source)
			}
			thumb := got.Thumbnails[0]
			if thumb.Format != test.made || thumb.Width != 30 || thumb.Height != 20 {
				t.Errorf("made a %s of %d x %d", thumb.Format, thumb.Width, thumb.Height)
			}
			pixel := color.NRGBAModel.Convert(imageOf(t, thumb).At(15, 10)).(color.NRGBA)
			if pixel.R < 240 || pixel.G > 15 || pixel.B > 15 {
				t.Errorf("the middle is %v, want red", pixel)
			}
		})
	}
}

func TestLossyWebPIsRead(t *testing.T) {
	data, err := base64.StdEncoding.DecodeString(onePixelWebP)
	if err != nil {
		t.Fatal(err)
	}
	if got := mustRun(t, data, `"width":9`); got.Source != (source{"webp", 1, 1}) || got.Thumbnails[0].Width != 1 {
		t.Errorf("got %v and %d thumbnails", got.Source, len(got.Thumbnails))
	}
}

func TestSizeFitsInsideTheBoxAndNeverGrows(t *testing.T) {
	for _, test := range []struct {
		source image.Point
		size   size
		want   image.Point
	}{
		{image.Pt(1600, 1200), size{width: 400}, image.Pt(400, 300)},
		{image.Pt(1600, 1200), size{height: 300}, image.Pt(400, 300)},
		{image.Pt(1600, 1200), size{400, 100}, image.Pt(133, 100)},
		{image.Pt(1600, 1200), size{100, 400}, image.Pt(100, 75)},
		{image.Pt(1600, 1200), size{1600, 1200}, image.Pt(1600, 1200)},
		{image.Pt(1600, 1200), size{width: 4000}, image.Pt(1600, 1200)},
		{image.Pt(100, 50), size{4000, 10}, image.Pt(20, 10)},
		{image.Pt(5000, 1), size{width: 10}, image.Pt(10, 1)},
		{image.Pt(100, 40_000), size{width: 100}, image.Pt(10, 4096)},
	} {
		w, h := test.size.fit(test.source.X, test.source.Y, 4096)
		if (image.Point{w, h}) != test.want {
			t.Errorf("%v in %v gives %d x %d, want %v", test.source, test.size, w, h, test.want)
		}
	}
}

func TestShrinkingAgreesWithTheWholeImageKernel(t *testing.T) {
	src := drawLake(331, 207).(*image.RGBA)
	for _, to := range []image.Point{{100, 63}, {331, 207}, {7, 4}, {330, 206}, {1, 1}} {
		want := image.NewRGBA(image.Rectangle{Max: to})
		xdraw.CatmullRom.Scale(want, want.Rect, src, src.Rect, xdraw.Src, nil)
		pic := picture{"png", src, src.Rect, upright, true}
		got, err := pic.shrink(t.Context(), to.X, to.Y, true, func(float64) {})
		if err != nil {
			t.Fatal(err)
		}
		if worst := worstDifference(got, want); worst > 2 {
			t.Errorf("%v differs by %d levels", to, worst)
		}
	}
}

func TestTransparencySurvivesInPNGAndTurnsWhiteInJPEG(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 40, 40))
	draw.Draw(img, image.Rect(0, 0, 40, 20), image.NewUniform(color.NRGBA{0, 0, 200, 128}), image.Point{}, draw.Src)
	data := pngOf(t, img)

	kept := imageOf(t, mustRun(t, data, `"width":20`).Thumbnails[0])
	if got := color.NRGBAModel.Convert(kept.At(10, 4)).(color.NRGBA); got != (color.NRGBA{0, 0, 200, 128}) {
		t.Errorf("half transparent blue became %v", got)
	}
	if _, _, _, a := kept.At(10, 16).RGBA(); a != 0 {
		t.Errorf("transparent became alpha %d", a)
	}
	flat := imageOf(t, mustRun(t, data, `"width":20,"format":"jpeg","quality":100`).Thumbnails[0])
	if r, g, b, _ := flat.At(10, 16).RGBA(); min(r, g, b)>>8 < 250 {
		t.Errorf("transparent became %d,%d,%d, want white", r>>8, g>>8, b>>8)
	}
}

func TestGIFFrameStandsAtItsPlaceOnTheCanvas(t *testing.T) {
	data := gifOf(t, fill(20, 10, color.NRGBA{255, 0, 0, 255}), image.Rect(0, 0, 80, 40))
	got := mustRun(t, data, `"width":80`)
	if got.Source != (source{"gif", 80, 40}) {
		t.Fatalf("source = %v", got.Source)
	}
	img := imageOf(t, got.Thumbnails[0])
	if _, _, _, a := img.At(79, 39).RGBA(); a != 0 {
		t.Error("the canvas outside the frame is not transparent")
	}
	if r, _, _, a := img.At(5, 5).RGBA(); r>>8 != 255 || a>>8 != 255 {
		t.Error("the frame is not drawn")
	}
}

func TestJPEGOrientationIsApplied(t *testing.T) {
	// Stored: a red left upper corner on grey. Seen: the corner moves.
	stored := fill(48, 32, color.NRGBA{128, 128, 128, 255})
	draw.Draw(stored, image.Rect(0, 0, 16, 16), image.NewUniform(color.NRGBA{255, 0, 0, 255}), image.Point{}, draw.Src)
	left, right, top, bottom := 4, -4, 4, -4
	for o, corner := range map[orientation]image.Point{
		1: {left, top}, 2: {right, top}, 3: {right, bottom}, 4: {left, bottom},
		5: {left, top}, 6: {right, top}, 7: {right, bottom}, 8: {left, bottom},
	} {
		got := mustRun(t, withOrientation(jpegOf(t, stored), o), `"width":200,"quality":100`)
		wide, high := 48, 32
		if o >= 5 {
			wide, high = high, wide
		}
		if got.Source.Width != wide || got.Source.Height != high {
			t.Errorf("orientation %d is seen as %v", o, got.Source)
		}
		img := imageOf(t, got.Thumbnails[0])
		x, y := (corner.X+wide)%wide, (corner.Y+high)%high
		if r, g, _, _ := img.At(x, y).RGBA(); r>>8 < 200 || g>>8 > 60 {
			t.Errorf("orientation %d: %d,%d is not red", o, x, y)
		}
	}
}

func TestWrongInputIsFinalAndSaysWhy(t *testing.T) {
	dot := base64.StdEncoding.EncodeToString(pngOf(t, fill(1, 1, color.NRGBA{A: 255})))
	manySizes := strings.TrimSuffix(strings.Repeat(`{"width":1},`, 11), ",")
	cut := jpegOf(t, fill(64, 64, color.NRGBA{9, 9, 9, 255}))
	for _, test := range []struct{ name, input, says string }{
		{"not json", `{"image":`, "refused"},
		{"an array", `[]`, "JSON object"},
		{"two objects", `{"image":"` + dot + `","width":1} {}`, "goes on"},
		{"unknown field", `{"image":"` + dot + `","wdith":1}`, "wdith"},
		{"no image", `{"width":1}`, "image is missing"},
		{"image of another type", `{"image":5,"width":1}`, "image cannot be a number"},
		{"not base64", `{"image":"????","width":1}`, "base64"},
		{"data url", `{"image":"data:image/png;base64,` + dot + `","width":1}`, "data URL"},
		{"not a picture", `{"image":"aGVsbG8gd29ybGQ=","width":1}`, "not a JPEG"},
		{"cut off", `{"width":1,"image":"` + base64.StdEncoding.EncodeToString(cut[:len(cut)-40]) + `"}`, "cannot be read"},
		{"no size", `{"image":"` + dot + `"}`, "no size"},
		{"empty sizes", `{"image":"` + dot + `","sizes":[]}`, "no size"},
		{"empty size", `{"image":"` + dot + `","sizes":[{}]}`, "sizes[0].width"},
		{"both ways", `{"image":"` + dot + `","width":1,"sizes":[{"width":1}]}`, "exclude"},
		{"too many sizes", `{"image":"` + dot + `","sizes":[` + manySizes + `]}`, "at most 10"},
		{"zero", `{"image":"` + dot + `","width":0}`, "between 1 and 4096"},
		{"too wide", `{"image":"` + dot + `","sizes":[{"width":4097}]}`, "sizes[0].width is 4097"},
		{"format", `{"image":"` + dot + `","width":1,"format":"bmp"}`, `"bmp"`},
		{"quality", `{"image":"` + dot + `","width":1,"quality":101}`, "quality is 101"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, units, err := Run(t.Context(), []byte(test.input), nil)
			var wrong *InputError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error = %v, want an InputError with %q", err, test.says)
			}
			if units != nil {
				t.Errorf("units = %v", units)
			}
		})
	}
}

func TestBombIsRefusedBeforeItsPixelsAreRead(t *testing.T) {
	bomb := losslessWebP(16_384, 16_384, color.NRGBA{A: 255})
	for name, test := range map[string]struct {
		limits Limits
		data   []byte
		says   string
	}{
		"268 megapixels in 30 bytes": {Limits{}, bomb, "at most 50000000 are read"},
		"smaller bound on pixels":    {Limits{SourcePixels: 99}, pngOf(t, fill(10, 10, color.NRGBA{})), "at most 99 are read"},
		"bound on bytes":             {Limits{SourceBytes: 20}, bomb, "at most 20 are read"},
		"bound on the result":        {Limits{ResultBytes: 20}, pngOf(t, fill(10, 10, color.NRGBA{})), "more than 20 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			var wrong *InputError
			_, _, err := test.limits.Run(t.Context(), inputFor(test.data, `"width":1`), nil)
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error = %v, want an InputError with %q", err, test.says)
			}
		})
	}
}

func TestCancelledContextEndsTheJob(t *testing.T) {
	input := inputFor(jpegOf(t, drawLake(800, 600)), `"sizes":[{"width":400},{"width":300},{"width":200}]`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Run(ctx, input, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("before the start: error = %v", err)
	}
	for _, at := range []float64{0.2, 0.5, 0.8} {
		ctx, cancel := context.WithCancel(t.Context())
		_, _, err := Run(ctx, input, func(fraction float64, _ string) {
			if fraction >= at {
				cancel()
			}
			if fraction > at+0.15 {
				t.Errorf("cancelled at %v and still going at %v", at, fraction)
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at %v: error = %v", at, err)
		}
	}
}

func TestProgressGrowsFromReadingToTheEnd(t *testing.T) {
	var last float64
	var lines []string
	input := inputFor(jpegOf(t, drawLake(200, 150)), `"sizes":[{"width":100},{"height":20}]`)
	_, _, err := Run(t.Context(), input, func(fraction float64, log string) {
		if fraction < last || fraction > 1 {
			t.Errorf("progress went from %v to %v", last, fraction)
		}
		last = fraction
		if log != "" {
			lines = append(lines, log)
		}
	})
	if err != nil || math.Abs(last-1) > 1e-9 {
		t.Errorf("ended at %v with %v", last, err)
	}
	if len(lines) != 3 || lines[0] != "read a jpeg of 200 x 150 pixels" {
		t.Errorf("logged %q", lines)
	}
}

func TestInputSchemaIsJSON(t *testing.T) {
	if !json.Valid([]byte(InputSchema)) {
		t.Error("InputSchema is not JSON")
	}
}

func FuzzInput(f *testing.F) {
	f.Add([]byte(`{"image":"` + onePixelWebP + `","width":1}`))
	f.Add([]byte(`{"image":"` + onePixelWebP + `","sizes":[{"width":1,"height":2}],"format":"png","quality":5}`))
	f.Add([]byte(`{"image":"R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=","height":4}`))
	f.Add([]byte(`{"image":null,"sizes":null}`))
	f.Fuzz(func(t *testing.T, input []byte) { checkRun(t, input) })
}

func FuzzInputPicture(f *testing.F) {
	shade := fill(9, 7, color.NRGBA{10, 200, 90, 255})
	f.Add(pngOf(f, shade), uint16(3), uint16(3))
	f.Add(withOrientation(jpegOf(f, shade), 6), uint16(4), uint16(0))
	f.Add(gifOf(f, shade, image.Rect(0, 0, 12, 12)), uint16(0), uint16(2))
	f.Add(losslessWebP(5, 5, color.NRGBA{1, 2, 3, 4}), uint16(5), uint16(5))
	f.Fuzz(func(t *testing.T, picture []byte, width, height uint16) {
		checkRun(t, inputFor(picture, fmt.Sprintf(`"sizes":[{"width":%d,"height":%d}]`, width, height)))
	})
}

// checkRun holds for any input: a result that decodes, or an InputError.
func checkRun(t *testing.T, input []byte) {
	out, units, err := Limits{SourcePixels: 1 << 16, Side: 256}.Run(t.Context(), input, nil)
	if err != nil {
		var wrong *InputError
		if !errors.As(err, &wrong) {
			t.Fatalf("error %v is not an InputError", err)
		}
		return
	}
	got := decodeResult(t, out)
	if units["megapixel"] != 1 {
		t.Errorf("units = %v", units)
	}
	for _, thumb := range got.Thumbnails {
		if thumb.Width > got.Source.Width || thumb.Height > got.Source.Height || thumb.Width > 256 || thumb.Height > 256 {
			t.Errorf("%d x %d of %v", thumb.Width, thumb.Height, got.Source)
		}
		imageOf(t, thumb)
	}
}

func mustRun(t *testing.T, data []byte, fields string) result {
	t.Helper()
	out, _, err := Run(t.Context(), inputFor(data, fields), nil)
	if err != nil {
		t.Fatal(err)
	}
	return decodeResult(t, out)
}

func inputFor(data []byte, fields string) []byte {
	return fmt.Appendf(nil, `{"image":%q,%s}`, base64.StdEncoding.EncodeToString(data), fields)
}

func decodeResult(t *testing.T, out []byte) result {
	t.Helper()
	var got result
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func imageOf(t *testing.T, thumb thumbnail) image.Image {
	t.Helper()
	img, format, err := image.Decode(bytes.NewReader(thumb.Image))
	if err != nil || format != thumb.Format || img.Bounds().Size() != image.Pt(thumb.Width, thumb.Height) {
		t.Fatalf("a %s of %d x %d holds a %s: %v", thumb.Format, thumb.Width, thumb.Height, format, err)
	}
	return img
}

func worstDifference(a, b image.Image) int {
	worst := 0
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			r1, g1, b1, _ := a.At(x, y).RGBA()
			r2, g2, b2, _ := b.At(x, y).RGBA()
			for _, d := range []int{int(r1>>8) - int(r2>>8), int(g1>>8) - int(g2>>8), int(b1>>8) - int(b2>>8)} {
				worst = max(worst, d, -d)
			}
		}
	}
	return worst
}

func fill(width, height int, c color.NRGBA) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
	return img
}

func jpegOf(t testing.TB, img image.Image) []byte {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func pngOf(t testing.TB, img image.Image) []byte {
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// gifOf puts one frame into the left upper corner of a canvas.
func gifOf(t testing.TB, img image.Image, canvas image.Rectangle) []byte {
	frame := image.NewPaletted(img.Bounds(), palette.Plan9)
	draw.Draw(frame, frame.Rect, img, image.Point{}, draw.Src)
	var out bytes.Buffer
	err := gif.EncodeAll(&out, &gif.GIF{
		Image:  []*image.Paletted{frame},
		Delay:  []int{0},
		Config: image.Config{Width: canvas.Dx(), Height: canvas.Dy(), ColorModel: frame.Palette},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// onePixelWebP is a lossy WebP of one pixel, in base64.
const onePixelWebP = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"

// losslessWebP writes one colour as in the WebP Lossless Bitstream
// Specification: each of the five prefix codes has a single symbol, so that no
// pixel takes a bit.
func losslessWebP(width, height int, c color.NRGBA) []byte {
	var bits []byte
	var n int
	put := func(value, count int) {
		for i := range count {
			if n%8 == 0 {
				bits = append(bits, 0)
			}
			bits[n/8] |= byte(value>>i&1) << (n % 8)
			n++
		}
	}
	put(0x2f, 8)
	put(width-1, 14)
	put(height-1, 14)
	put(1, 1) // alpha is used
	put(0, 3) // version
	put(0, 3) // no transform, no colour cache, no meta prefix codes
	for _, symbol := range []uint8{c.G, c.R, c.B, c.A, 0} {
		put(0b101, 3) // simple, one symbol, of eight bits
		put(int(symbol), 8)
	}
	if len(bits)%2 == 1 {
		bits = append(bits, 0)
	}
	size := func(n int) string { return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}) }
	return []byte("RIFF" + size(12+len(bits)) + "WEBPVP8L" + size(len(bits)) + string(bits))
}
