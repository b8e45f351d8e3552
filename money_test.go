package tallygate_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/tallygate/tallygate"
	"pgregory.net/rapid"
)

func TestParseMoneyReadsDecimals(t *testing.T) {
	for s, want := range map[string]tallygate.Money{
		"0":                    0,
		"-0":                   0,
		"-0.00":                0,
		"25":                   25_000_000,
		"25.00":                25_000_000,
		"0025.5":               25_500_000,
		"-0.21":                -210_000,
		"0.000001":             1,
		"-0.000001":            -1,
		"0.1":                  100_000,
		"999999999999.999999":  tallygate.MaxMoney - 1,
		"1000000000000":        tallygate.MaxMoney,
		"1000000000000.000000": tallygate.MaxMoney,
		"-1000000000000":       -tallygate.MaxMoney,
	} {
		if got, err := tallygate.ParseMoney(s); err != nil || got != want {
			t.Errorf("ParseMoney(%q) = %d, %v; want %d", s, got, err, want)
		}
	}
}

func TestParseMoneyRefusesWhatIsNoAmount(t *testing.T) {
	for _, s := range []string{
		"", "-", ".", "-.", ".5", "5.", "--5", "+5", "- 5", " 5", "5 ", "1e3", "1E3", "0x10", "NaN", "Inf", "1,5", "1_000",
		"1.2.3", "0.0000001", "0.-1", "٣", "1.٣", "5\x00", "5.0\n",
		"1000000000000.000001", "9999999999999", "9999999999999.999999", "-9999999999999.999999", "9223372036854.775808",
		"18446744073709.551616", "99999999999999", strings.Repeat("9", 400),
	} {
		if got, err := tallygate.ParseMoney(s); err == nil {
			t.Errorf("ParseMoney(%q) = %d, want an error", s, got)
		} else if len(err.Error()) > 200 {
			t.Errorf("ParseMoney(%.10q…) answers %d bytes", s, len(err.Error()))
		}
	}
}

func TestMoneyPrintsTwoToSixDecimals(t *testing.T) {
	for m, want := range map[tallygate.Money]string{
		0:                   "0.00",
		1:                   "0.000001",
		-1:                  "-0.000001",
		10:                  "0.00001",
		100:                 "0.0001",
		1_000:               "0.001",
		10_000:              "0.01",
		100_000:             "0.10",
		-210_000:            "-0.21",
		1_000_000:           "1.00",
		1_000_001:           "1.000001",
		24_700_000:          "24.70",
		tallygate.MaxMoney:  "1000000000000.00",
		-tallygate.MaxMoney: "-1000000000000.00",
		math.MinInt64:       "-9223372036854.775808",
	} {
		if got := m.String(); got != want {
			t.Errorf("Money(%d) prints %q, want %q", int64(m), got, want)
		}
		if got := string(m.Append([]byte("cost: "))); got != "cost: "+want {
			t.Errorf("Money(%d) appends %q", int64(m), got)
		}
	}
}

func FuzzParseMoney(f *testing.F) {
	for _, s := range []string{"0", "-0.21", "25.00", "0.000001", "9999999999999.999999", "-9999999999999", "1e3", "1.2.3", "."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := tallygate.ParseMoney(s)
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok || exact.Mul(exact, big.NewRat(1_000_000, 1)).Cmp(new(big.Rat).SetInt64(int64(m))) != 0 {
			t.Fatalf("%q was read as %d micro-units", s, int64(m))
		}
		if m > tallygate.MaxMoney || m < -tallygate.MaxMoney {
			t.Fatalf("%q was read as %s, past the most", s, m)
		}
		if again, err := tallygate.ParseMoney(m.String()); err != nil || again != m {
			t.Fatalf("%q prints %q, which reads as %d, %v", s, m, again, err)
		}
	})
}

func TestEveryAmountReadsAsItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := amounts(-tallygate.MaxMoney).Draw(t, "amount")
		text := m.String()
		if got, err := tallygate.ParseMoney(text); err != nil || got != m {
			t.Fatalf("%d prints %q, which reads as %d, %v", int64(m), text, got, err)
		}
		if _, decimals, _ := strings.Cut(text, "."); len(decimals) < 2 || len(decimals) > 6 {
			t.Fatalf("%d prints %q", int64(m), text)
		}
	})
}

func TestSumsAndProductsStayAtTheMost(t *testing.T) {
	most := big.NewInt(int64(tallygate.MaxMoney))
	capped := func(x *big.Int) int64 {
		if x.Cmp(most) > 0 {
			x = most
		}
		return x.Int64()
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts(0).Draw(t, "a"), amounts(0).Draw(t, "b")
		count := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-2, 1000)).Draw(t, "count")
		if got, want := a.Plus(b), capped(new(big.Int).Add(big.NewInt(int64(a)), big.NewInt(int64(b)))); int64(got) != want {
			t.Fatalf("%d + %d = %d, want %d", a, b, got, want)
		}
		want := capped(new(big.Int).Mul(big.NewInt(int64(a)), big.NewInt(max(count, 0))))
		if got := a.Times(count); int64(got) != want {
			t.Fatalf("%d × %d = %d, want %d", a, count, got, want)
		}
	})
	if got := tallygate.Money(-5).Times(3); got != 0 {
		t.Errorf("a negative price times 3 is %d, want 0", got)
	}
}

// amounts draws amounts from least on, the edges often.
func amounts(least tallygate.Money) *rapid.Generator[tallygate.Money] {
	return rapid.OneOf(
		rapid.Map(rapid.Int64Range(int64(least), int64(tallygate.MaxMoney)), func(n int64) tallygate.Money { return tallygate.Money(n) }),
		rapid.SampledFrom([]tallygate.Money{least, 0, 1, 10_000, 999_999, 1_000_000, tallygate.MaxMoney / 2, tallygate.MaxMoney - 1, tallygate.MaxMoney}),
	)
}
