package api

import (
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tallygate/tallygate"
)

// Answers are appended by hand: their shapes are few and fixed, and a submit's answer is on the hot path.

// appendText appends s as a JSON string.
func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = append(b, '"')
	b = appendEscaped(b, s)
	return append(b, '"')
}

// appendEscaped appends s as it stands between the quotes of a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendEscaped[T ~string | ~[]byte](b []byte, s T) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			start := len(b)
			b, _ = jsontext.AppendQuote(b, s) // its error tells of replaced bytes
			copy(b[start:], b[start+1:])
			return b[:len(b)-2]
		}
	}
	return append(b, s...)
}

// appendTime appends an RFC 3339 time in UTC, or null for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

func appendMoney(b []byte, m tallygate.Money) []byte {
	b = append(b, '"')
	b = m.Append(b)
	return append(b, '"')
}

func appendDuration(b []byte, d time.Duration) []byte { return appendText(b, short(d)) }

// short writes Go's notation without the zero parts that say nothing: "1h" and not "1h0m0s".
func short(d time.Duration) string {
	s := d.String()
	if d != 0 && d%time.Minute == 0 {
		s = s[:len(s)-len("0s")]
		if d%time.Hour == 0 {
			s = s[:len(s)-len("0m")]
		}
	}
	return s
}

// appendRaw appends stored JSON, or what stands for none.
func appendRaw(b, raw []byte, none string) []byte {
	if len(raw) == 0 {
		return append(b, none...)
	}
	return append(b, raw...)
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// appendList appends a JSON array of items.
func appendList[T any](b []byte, items []T, item func([]byte, T) []byte) []byte {
	b = append(b, '[')
	for i, one := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = item(b, one)
	}
	return append(b, ']')
}

// appendPage appends a list with the cursor of the next page, empty where this is the last.
func appendPage[T any](b []byte, items []T, next string, item func([]byte, T) []byte) []byte {
	b = append(b, `{"data":`...)
	b = appendList(b, items, item)
	b = append(b, `,"next_cursor":`...)
	if next == "" {
		b = append(b, "null"...)
	} else {
		b = appendText(b, next)
	}
	return append(b, '}')
}

func appendTextOrNull[T ~string](b []byte, s T) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendText(b, s)
}
