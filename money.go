package tallygate

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Money is an amount in millionths of the server's one currency. It is never a float.
type Money int64

// microsPerUnit is how many Money make one unit of the currency.
const microsPerUnit = 1_000_000

// MaxMoney bounds every amount and balance: a million million of the currency leaves room to add without overflow.
const MaxMoney Money = 1_000_000_000_000_000_000

// ParseMoney reads a decimal such as "25", "-0.21" or "0.000001": at most six decimals, no exponent, no spaces, no
// thousands separators.
func ParseMoney(s string) (Money, error) {
	digits, negative := strings.CutPrefix(s, "-")
	whole, fraction, hasPoint := strings.Cut(digits, ".")
	if whole == "" || (hasPoint && fraction == "") || len(whole) > 13 || len(fraction) > 6 {
		return 0, fmt.Errorf("%.40q is not an amount: write a decimal such as \"25.00\" with at most six decimals", s)
	}
	var micros uint64 // 19 digits fit
	for _, c := range []byte(whole + (fraction + "000000")[:6]) {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%.40q is not an amount: write a decimal such as \"25.00\"", s)
		}
		micros = micros*10 + uint64(c-'0')
	}
	if micros > uint64(MaxMoney) {
		return 0, fmt.Errorf("%.40q is too large: the most is %s", s, MaxMoney)
	}
	if negative {
		return -Money(micros), nil
	}
	return Money(micros), nil
}

// String prints a decimal with two to six decimals.
func (m Money) String() string { return string(m.Append(nil)) }

// Append appends the decimal with two to six decimals to b.
func (m Money) Append(b []byte) []byte {
	u := uint64(m)
	if m < 0 {
		b = append(b, '-')
		u = -u
	}
	b = fmt.Appendf(b, "%d", u/microsPerUnit)
	fraction := u % microsPerUnit
	var six [6]byte
	for i := 5; i >= 0; i-- {
		six[i] = byte('0' + fraction%10)
		fraction /= 10
	}
	n := 6
	for n > 2 && six[n-1] == '0' {
		n--
	}
	return append(append(b, '.'), six[:n]...)
}

// Times multiplies by a count of units; past MaxMoney it stays there, so that no product wraps round.
func (m Money) Times(count int64) Money {
	if m <= 0 || count <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(m), uint64(count))
	if high != 0 || low > uint64(MaxMoney) {
		return MaxMoney
	}
	return Money(low)
}

// Plus adds two amounts that are not negative; past MaxMoney it stays there.
func (m Money) Plus(n Money) Money {
	if m > math.MaxInt64-n || m+n > MaxMoney {
		return MaxMoney
	}
	return m + n
}
