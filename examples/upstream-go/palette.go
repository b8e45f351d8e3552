package main

import (
	"cmp"
	"fmt"
	"image"
	"slices"
)

// swatch is one colour of a picture.
type swatch struct {
	Color string  `json:"color"` // "#rrggbb"
	Share float64 `json:"share"` // of the picture's visible pixels
}

// shade is a colour with five bits a channel and how many pixels have it.
type shade struct {
	rgb   [3]uint8
	count int
	sum   [3]int // of the pixels' own channels
}

// palette finds the colours of a picture by median cut (Heckbert, "Color image quantization for frame buffer display",
// 1982): the box with the most pixels that has more than one shade is cut in the middle of its longest side.
func palette(picture image.Image, most int) []swatch {
	boxes := [][]*shade{shades(picture)}
	if len(boxes[0]) == 0 {
		return []swatch{}
	}
	for len(boxes) < most {
		at := -1
		for i, box := range boxes {
			if len(box) > 1 && (at < 0 || pixels(box) > pixels(boxes[at])) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		left, right := cut(boxes[at])
		boxes[at] = left
		boxes = append(boxes, right)
	}
	total := 0
	for _, box := range boxes {
		total += pixels(box)
	}
	found := make([]swatch, 0, len(boxes))
	for _, box := range boxes {
		found = append(found, swatch{mean(box), float64(pixels(box)*10_000/total) / 10_000})
	}
	slices.SortStableFunc(found, func(a, b swatch) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Color, b.Color))
	})
	return found
}

// shades counts a picture's pixels, without those that are hardly seen, in the order of their colours.
func shades(picture image.Image) []*shade {
	counted := map[[3]uint8]*shade{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			r, g, b, a := picture.At(x, y).RGBA() // 16 bits, multiplied by a
			if a < 0x8000 {
				continue
			}
			channels := [3]int{int(r * 0xff / a), int(g * 0xff / a), int(b * 0xff / a)}
			key := [3]uint8{uint8(channels[0] >> 3), uint8(channels[1] >> 3), uint8(channels[2] >> 3)}
			s := counted[key]
			if s == nil {
				s = &shade{rgb: key}
				counted[key] = s
			}
			s.count++
			for i := range channels {
				s.sum[i] += channels[i]
			}
		}
	}
	all := make([]*shade, 0, len(counted))
	for _, s := range counted {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *shade) int { return slices.Compare(a.rgb[:], b.rgb[:]) })
	return all
}

func pixels(box []*shade) (n int) {
	for _, s := range box {
		n += s.count
	}
	return n
}

// cut halves a box by pixels, across its longest side.
func cut(box []*shade) (left, right []*shade) {
	low, high := [3]uint8{31, 31, 31}, [3]uint8{}
	for _, s := range box {
		for i, v := range s.rgb {
			low[i], high[i] = min(low[i], v), max(high[i], v)
		}
	}
	side := 0
	for i := range low {
		if high[i]-low[i] > high[side]-low[side] {
			side = i
		}
	}
	box = slices.Clone(box)
	slices.SortStableFunc(box, func(a, b *shade) int { return cmp.Compare(a.rgb[side], b.rgb[side]) })
	half, so, at := pixels(box)/2, 0, 0
	for at < len(box)-1 {
		so += box[at].count
		at++
		if so >= half {
			break
		}
	}
	return box[:at:at], box[at:]
}

// mean is the colour of a box.
func mean(box []*shade) string {
	var sum [3]int
	for _, s := range box {
		for i := range sum {
			sum[i] += s.sum[i]
		}
	}
	n := pixels(box)
	return fmt.Sprintf("#%02x%02x%02x", sum[0]/n, sum[1]/n, sum[2]/n)
}
