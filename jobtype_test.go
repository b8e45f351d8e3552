package tallygate_test

import (
	"testing"

	"github.com/tallygate/tallygate"
	"pgregory.net/rapid"
)

func TestAQuoteIsTheBaseAndEveryUnitsMost(t *testing.T) {
	price := tallygate.Price{Base: 10_000, Units: map[string]tallygate.UnitPrice{
		"page":  {Price: 2_000, Max: 100},
		"image": {Price: 50_000, Max: 2},
	}}
	if got := price.Quote(); got != 310_000 {
		t.Errorf("quote %s, want 0.31", got)
	}
	for _, c := range []struct {
		name string
		used map[string]int64
		want tallygate.Money
	}{
		{"nothing used costs the base", nil, 10_000},
		{"what was used is charged", map[string]int64{"page": 12, "image": 1}, 84_000},
		{"past its most a unit costs no more", map[string]int64{"page": 1_000_000}, 210_000},
		{"a unit the price does not know costs nothing", map[string]int64{"second": 5}, 10_000},
		{"a negative count costs nothing", map[string]int64{"page": -5}, 10_000},
	} {
		if got := price.Charge(c.used); got != c.want {
			t.Errorf("%s: charge %s, want %s", c.name, got, c.want)
		}
	}
}

func TestNoChargePassesTheQuote(t *testing.T) {
	units := rapid.MapOf(rapid.StringMatching(`[a-c]`), rapid.Custom(func(t *rapid.T) tallygate.UnitPrice {
		return tallygate.UnitPrice{Price: amounts(0).Draw(t, "price"), Max: rapid.Int64Min(0).Draw(t, "max")}
	}))
	rapid.Check(t, func(t *rapid.T) {
		price := tallygate.Price{Base: amounts(0).Draw(t, "base"), Units: units.Draw(t, "units")}
		used := rapid.MapOf(rapid.StringMatching(`[a-d]`), rapid.Int64()).Draw(t, "used")
		charge, quote := price.Charge(used), price.Quote()
		if charge < price.Base || charge > quote || quote > tallygate.MaxMoney {
			t.Fatalf("charge %s of a quote of %s over a base of %s", charge, quote, price.Base)
		}
	})
}

func TestATypeIsOpenToEveryoneOrToThoseItNames(t *testing.T) {
	const acme, other = tallygate.ClientID("cl_acme"), tallygate.ClientID("cl_other")
	for _, c := range []struct {
		clients []tallygate.ClientID
		acme    bool
	}{{nil, true}, {[]tallygate.ClientID{}, false}, {[]tallygate.ClientID{other}, false}, {[]tallygate.ClientID{other, acme}, true}} {
		jobType := tallygate.JobType{Clients: c.clients}
		if got := jobType.OpenTo(acme); got != c.acme {
			t.Errorf("clients %v: open %v, want %v", c.clients, got, c.acme)
		}
	}
}
