package thumbnail

import (
	"encoding/binary"
	"image/color"
	"testing"
)

func TestOrientationIsFoundInEitherByteOrder(t *testing.T) {
	plain := jpegOf(t, fill(8, 8, color.NRGBA{A: 255}))
	if got := orientationOf(plain); got != upright {
		t.Errorf("without EXIF it is %d", got)
	}
	for o := orientation(1); o <= 8; o++ {
		if got := orientationOf(withOrientation(plain, o)); got != o {
			t.Errorf("big endian %d is read as %d", o, got)
		}
		if got := orientationInTIFF(tiffWith(binary.LittleEndian, "II*\x00", o)); got != o {
			t.Errorf("little endian %d is read as %d", o, got)
		}
	}
}

func TestDamagedOrientationCountsAsUpright(t *testing.T) {
	whole := tiffWith(binary.BigEndian, "MM\x00*", 6)
	for n := range len(whole) {
		// The last four bytes point to a next directory, which nobody follows.
		if got := orientationInTIFF(whole[:n]); got != upright && n < len(whole)-4 {
			t.Errorf("the first %d bytes give %d", n, got)
		}
	}
	for _, o := range []orientation{0, 9, 300} {
		if got := orientationInTIFF(tiffWith(binary.BigEndian, "MM\x00*", o)); got != upright {
			t.Errorf("the value %d gives %d", o, got)
		}
	}
	pointsIntoItself := append([]byte(nil), whole...)
	binary.BigEndian.PutUint32(pointsIntoItself[4:], 2)
	if got := orientationInTIFF(pointsIntoItself); got != upright {
		t.Errorf("a directory inside the header gives %d", got)
	}
}

func TestPlaceMovesEveryPixelToItsOwnSpot(t *testing.T) {
	const width, height = 3, 2
	for o := orientation(1); o <= 8; o++ {
		wide, high := width, height
		if o.swapsSides() {
			wide, high = high, wide
		}
		taken := map[[2]int]bool{}
		for y := range height {
			for x := range width {
				atX, atY := o.place(x, y, width, height)
				if atX < 0 || atX >= wide || atY < 0 || atY >= high || taken[[2]int{atX, atY}] {
					t.Errorf("orientation %d puts %d,%d at %d,%d", o, x, y, atX, atY)
				}
				taken[[2]int{atX, atY}] = true
			}
		}
	}
}

func FuzzOrientation(f *testing.F) {
	plain := jpegOf(f, fill(2, 2, color.NRGBA{A: 255}))
	f.Add(plain)
	f.Add(withOrientation(plain, 6))
	f.Add([]byte("\xff\xd8\xff\xff\xff\xe1\x00\x10Exif\x00\x00II*\x00\x08\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got := orientationOf(data); got < 1 || got > 8 {
			t.Errorf("orientation = %d", got)
		}
		if got := orientationInTIFF(data); got < 1 || got > 8 {
			t.Errorf("orientation in TIFF = %d", got)
		}
	})
}

// withOrientation puts an EXIF segment behind the first marker of a JPEG.
func withOrientation(jpeg []byte, o orientation) []byte {
	exif := append([]byte("Exif\x00\x00"), tiffWith(binary.BigEndian, "MM\x00*", o)...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(2+len(exif)))
	out := append([]byte{0xff, 0xd8}, segment...)
	return append(append(out, exif...), jpeg[2:]...)
}

// tiffWith has one directory of two entries: the image width, then the orientation.
func tiffWith(order binary.AppendByteOrder, magic string, o orientation) []byte {
	out := order.AppendUint32([]byte(magic), 8)
	out = order.AppendUint16(out, 2)
	for _, entry := range [][2]uint16{{0x0100, 640}, {0x0112, uint16(o)}} {
		out = order.AppendUint16(out, entry[0])
		out = order.AppendUint16(out, 3)
		out = order.AppendUint32(out, 1)
		out = order.AppendUint16(out, entry[1])
		out = order.AppendUint16(out, 0)
	}
	return order.AppendUint32(out, 0)
}
