package thumbnail

import (
	"bytes"
	"encoding/binary"
)

// orientation says how the stored rows and columns of a picture are seen: the
// values 1 to 8 of tag 0x0112 in Exif 2.32 (CIPA DC-008), section 4.6.4.
type orientation int

const upright orientation = 1

func (o orientation) swapsSides() bool { return o >= 5 && o <= 8 }

// place gives where the stored pixel (x, y) of width × height is seen.
func (o orientation) place(x, y, width, height int) (int, int) {
	switch o {
	case 2:
		return width - 1 - x, y
	case 3:
		return width - 1 - x, height - 1 - y
	case 4:
		return x, height - 1 - y
	case 5:
		return y, x
	case 6:
		return height - 1 - y, x
	case 7:
		return height - 1 - y, width - 1 - x
	case 8:
		return y, width - 1 - x
	}
	return x, y
}

// orientationOf finds the orientation in the EXIF segment of a JPEG. What is
// absent or damaged counts as upright: a picture is worth more than its label.
func orientationOf(jpeg []byte) orientation {
	const startOfScan, endOfImage, app1 = 0xda, 0xd9, 0xe1
	rest := jpeg
	if len(rest) < 2 || rest[0] != 0xff || rest[1] != 0xd8 {
		return upright
	}
	rest = rest[2:]
	for len(rest) >= 4 && rest[0] == 0xff {
		marker := rest[1]
		switch {
		case marker == 0xff: // fill byte
			rest = rest[1:]
			continue
		case marker == 0x01 || marker >= 0xd0 && marker <= 0xd8: // no payload
			rest = rest[2:]
			continue
		case marker == startOfScan || marker == endOfImage:
			return upright
		}
		length := int(binary.BigEndian.Uint16(rest[2:]))
		if length < 2 || 2+length > len(rest) {
			return upright
		}
		if exif, ok := bytes.CutPrefix(rest[4:2+length], []byte("Exif\x00\x00")); ok && marker == app1 {
			return orientationInTIFF(exif)
		}
		rest = rest[2+length:]
	}
	return upright
}

// orientationInTIFF reads the first directory of a TIFF 6.0 structure.
func orientationInTIFF(tiff []byte) orientation {
	const (
		headerSize, entrySize = 8, 12
		orientationTag        = 0x0112
		shortType             = 3
	)
	if len(tiff) < headerSize {
		return upright
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	at := int64(order.Uint32(tiff[4:]))
	if at < headerSize || at+2 > int64(len(tiff)) {
		return upright
	}
	directory := tiff[at:]
	entries := directory[2:]
	for range order.Uint16(directory) {
		if len(entries) < entrySize {
			return upright
		}
		if order.Uint16(entries) == orientationTag {
			value := orientation(order.Uint16(entries[8:]))
			if order.Uint16(entries[2:]) != shortType || order.Uint32(entries[4:]) != 1 || value < 1 || value > 8 {
				return upright
			}
			return value
		}
		entries = entries[entrySize:]
	}
	return upright
}
