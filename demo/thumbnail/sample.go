package thumbnail

import (
	"bytes"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"math"
)

// Sample draws a picture of 1600 × 1200 pixels, an evening lake with five
// tally marks on its shore, and gives it as a JPEG.
func Sample() []byte {
	var out bytes.Buffer
	// Writing into memory cannot fail, nor can these sides and this quality.
	_ = jpeg.Encode(&out, drawLake(1600, 1200), &jpeg.Options{Quality: 88})
	return out.Bytes()
}

// SampleInput is an input for [Run]: three sizes of [Sample].
func SampleInput() []byte {
	input, _ := json.Marshal(struct { // of plain fields, so it cannot fail
		Image []byte           `json:"image"`
		Sizes []map[string]int `json:"sizes"`
	}{Sample(), []map[string]int{{"width": 640}, {"width": 160, "height": 160}, {"height": 48}}})
	return input
}

// paint is a colour whose parts go from 0 to 1.
type paint struct{ r, g, b float64 }

func (p paint) mix(q paint, part float64) paint {
	part = min(max(part, 0), 1)
	return paint{p.r + (q.r-p.r)*part, p.g + (q.g-p.g)*part, p.b + (q.b-p.b)*part}
}

var (
	night  = paint{0.06, 0.09, 0.24}
	dusk   = paint{0.55, 0.28, 0.45}
	glow   = paint{1.00, 0.71, 0.38}
	sunlit = paint{1.00, 0.95, 0.78}
	far    = paint{0.36, 0.25, 0.42}
	near   = paint{0.07, 0.08, 0.14}
	wood   = paint{0.93, 0.84, 0.68}
)

const horizon = 0.62

// lake is the scene; its lengths are in units of the height, so that round
// things are round.
type lake struct {
	height float64      // in pixels
	ridges [3][]float64 // where each begins, by column
	shore  []float64
}

func drawLake(width, height int) image.Image {
	scene := lake{height: float64(height)}
	for column := range width {
		x := float64(column) / scene.height
		for i := range scene.ridges {
			f := float64(i)
			top := 0.46 + 0.05*f - 0.06*math.Sin(2.3*x+1.9*f) - 0.02*math.Sin(7.1*x+4*f) - 0.006*math.Sin(23*x+f)
			scene.ridges[i] = append(scene.ridges[i], top)
		}
		scene.shore = append(scene.shore, 0.90+0.025*math.Sin(3.1*x+0.6)+0.006*math.Sin(17*x))
	}

	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			p := scene.at((float64(x)+0.5)/scene.height, (float64(y)+0.5)/scene.height)
			img.SetRGBA(x, y, color.RGBA{uint8(p.r*255 + 0.5), uint8(p.g*255 + 0.5), uint8(p.b*255 + 0.5), 255})
		}
	}
	return img
}

func (l *lake) at(x, y float64) paint {
	shore := l.shore[l.column(x)]
	if cover := edge(y - shore); cover < 1 {
		water := l.above(x, y)
		if y > horizon {
			// Water mirrors what is above it, darker, in ripples that widen towards the shore.
			depth := (y - horizon) / (1 - horizon)
			ripple := 0.012 * depth * math.Sin(90*math.Log(1.02+depth)+3*math.Sin(5*x))
			water = l.above(x+ripple, 2*horizon-y-ripple).mix(night, 0.25+0.4*depth)
		}
		return l.tally(water.mix(near, cover), x, y)
	}
	return l.tally(near, x, y)
}

// above paints the sky, the sun and the ridges.
func (l *lake) above(x, y float64) paint {
	column := l.column(x)
	behind := len(l.ridges) - 1 // the nearest ridge that hides all behind it
	for behind >= 0 && edge(y-l.ridges[behind][column]) < 1 {
		behind--
	}
	var p paint
	if behind >= 0 {
		p = ridgePaint(behind)
	} else {
		toSun := math.Hypot(x-0.86, y-0.36)
		p = night.mix(dusk, y/0.45).mix(glow, (y-0.3)/0.34)
		p = p.mix(sunlit, 0.5*math.Exp(-6*toSun)).mix(sunlit, edge(0.085-toSun))
	}
	for i := behind + 1; i < len(l.ridges); i++ {
		p = p.mix(ridgePaint(i), edge(y-l.ridges[i][column]))
	}
	return p
}

func ridgePaint(i int) paint { return far.mix(near, float64(i)/2.6) }

// tally paints four marks and the fifth across them.
func (l *lake) tally(p paint, x, y float64) paint {
	if x > 0.45 || y < 0.75 {
		return p
	}
	for i := range 4 {
		top := 0.20 + 0.055*float64(i)
		p = p.mix(wood, edge(0.009-toSegment(x, y, top, 0.78, top-0.006, 0.95)))
	}
	return p.mix(wood, edge(0.009-toSegment(x, y, 0.155, 0.915, 0.415, 0.815)))
}

func (l *lake) column(x float64) int {
	return min(max(int(x*l.height), 0), len(l.shore)-1)
}

// edge turns a distance into a cover from 0 to 1, smooth over about two pixels.
func edge(distance float64) float64 { return distance*600 + 0.5 }

func toSegment(x, y, x1, y1, x2, y2 float64) float64 {
	dx, dy := x2-x1, y2-y1
	along := min(max(((x-x1)*dx+(y-y1)*dy)/(dx*dx+dy*dy), 0), 1)
	return math.Hypot(x-x1-along*dx, y-y1-along*dy)
}
