package tallygate

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Money is an amount as the API writes it: a decimal such as "25.00" or "-0.002", in the server's one currency. It is a
// text because amounts are exact and a float is not: compare and sum [Money.Micros], or hand the text to the decimal type
// of your choice.
type Money string

var errMoney = errors.New("is no amount such as 25.00 with at most six decimals")

// Micros is the amount in millionths.
func (m Money) Micros() (int64, error) {
	digits, negative := strings.CutPrefix(string(m), "-")
	whole, fraction, point := strings.Cut(digits, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" || point && fraction == "" || len(fraction) > 6 {
		return 0, fmt.Errorf("tallygate: %q %w", string(m), errMoney)
	}
	n, err := strconv.ParseInt(whole+fraction+"000000"[len(fraction):], 10, 64)
	if err != nil || n == math.MinInt64 {
		return 0, fmt.Errorf("tallygate: %q %w", string(m), errMoney)
	}
	if negative {
		n = -n
	}
	return n, nil
}

// MoneyFromMicros writes an amount that is given in millionths, with two to six decimals.
func MoneyFromMicros(n int64) Money {
	sign, size := "", uint64(n)
	if n < 0 {
		sign, size = "-", -uint64(n)
	}
	fraction := fmt.Sprintf("%06d", size%1_000_000)
	for len(fraction) > 2 && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	return Money(sign + strconv.FormatUint(size/1_000_000, 10) + "." + fraction)
}

// Duration is a span of time that the API writes in Go's notation, such as "1h30m".
type Duration time.Duration

// String writes the duration without parts that are nothing.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads Go's notation.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// Secret is a text that is printed and logged as "[secret]". [Secret.Reveal] and JSON have the text itself; in JSON an
// empty one is null.
type Secret string

// Reveal is the text itself.
func (s Secret) Reveal() string { return string(s) }

// String keeps the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString keeps the secret.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue keeps the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Format keeps the secret under every verb.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') || verb == 'q' {
		fmt.Fprint(f, s.GoString())
		return
	}
	fmt.Fprint(f, s.String())
}

// MarshalJSON has the secret itself: a request needs it.
func (s Secret) MarshalJSON() ([]byte, error) {
	if s == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(s))
}
