package ledger_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// book is the part of a transaction that the ledger's rules write to.
type book struct {
	tallygate.Tx
	entries []*tallygate.Entry
}

func (b *book) Now() time.Time { return noon }

func (b *book) InsertEntry(e *tallygate.Entry) error {
	b.entries = append(b.entries, e)
	return nil
}

// account is a client with the balance and floor, in whole units of the currency.
func account(posted, held, floor tallygate.Money) *tallygate.Client {
	return &tallygate.Client{ID: "cl_a", MinimumBalance: floor, Account: tallygate.Account{
		Balance: tallygate.Balance{Posted: posted, Held: held}, Entries: 5,
	}}
}

func TestAHoldLeavesAtLeastTheFloor(t *testing.T) {
	for _, c := range []struct {
		name                        string
		posted, held, floor, amount tallygate.Money
		refused                     bool
	}{
		{"all that is available", 100, 0, 0, 100, false},
		{"one too many", 100, 0, 0, 101, true},
		{"beside another hold", 100, 60, 0, 40, false},
		{"into another hold", 100, 60, 0, 41, true},
		{"down to the floor", 100, 0, 30, 70, false},
		{"below the floor", 100, 0, 30, 71, true},
		{"on credit", 0, 0, -50, 50, false},
		{"past the credit", 0, 0, -50, 51, true},
		{"nothing, of nothing", 0, 0, 0, 0, false},
		{"nothing, below a floor that was raised since", 10, 0, 20, 0, true},
		{"the most there is", tallygate.MaxMoney, 0, 0, tallygate.MaxMoney, false},
		{"the most there is, twice", tallygate.MaxMoney, tallygate.MaxMoney, 0, tallygate.MaxMoney, true},
		{"the most there is, on the most credit", 0, 0, -tallygate.MaxMoney, tallygate.MaxMoney, false},
		{"a unit with the highest floor", 0, 0, tallygate.MaxMoney, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx, client := new(book), account(c.posted, c.held, c.floor)
			before := *client
			err := ledger.Hold(tx, new(tallygate.IDs), client, "job_1", c.amount)
			if tallygate.IsCode(err, tallygate.InsufficientBalance) != c.refused || (err != nil) != c.refused {
				t.Fatalf("hold: %v", err)
			}
			if c.refused || c.amount == 0 {
				if client.Account != before.Account || len(tx.entries) > 0 {
					t.Errorf("it wrote %d entries and left %+v", len(tx.entries), client.Account)
				}
				return
			}
			e := tx.entries[0]
			after := tallygate.Balance{Posted: c.posted, Held: c.held + c.amount}
			if client.Balance != after || client.Entries != 6 {
				t.Errorf("the account is %+v", client.Account)
			}
			if e.Kind != tallygate.EntryHold || e.Posted != 0 || e.Held != c.amount || e.After != after || e.Floor != c.floor ||
				e.Number != 6 || e.JobID != "job_1" || e.ClientID != "cl_a" || !e.CreatedAt.Equal(noon) || !tallygate.ValidID(tallygate.EntryPrefix, string(e.ID)) {
				t.Errorf("the entry is %+v", e)
			}
		})
	}
}

func TestARefusedHoldTellsTheThreeNumbers(t *testing.T) {
	err := ledger.CanHold(account(1_000_000, 250_000, 100_000), 700_000)
	if message := tallygate.AsError(err).Message(); !strings.Contains(message, "0.70") || !strings.Contains(message, "0.75") || !strings.Contains(message, "0.10") {
		t.Errorf("the message is %q", message)
	}
}

func TestSettlingChargesAtMostTheHoldAndReleasesTheRest(t *testing.T) {
	for _, c := range []struct {
		name                            string
		held, charge, charged, released tallygate.Money
		entries                         int
	}{
		{"a part", 100, 60, 60, 40, 2},
		{"all", 100, 100, 100, 0, 1},
		{"nothing", 100, 0, 0, 100, 1},
		{"more than the hold", 100, 150, 100, 0, 1},
		{"a free job", 0, 0, 0, 0, 0},
		{"a charge for a free job", 0, 10, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tx, client := new(book), account(500, c.held+7, 0)
			released, err := ledger.Settle(tx, new(tallygate.IDs), client, "job_1", c.held, c.charge)
			if err != nil || released != c.released {
				t.Errorf("released %s, %v", released, err)
			}
			if want := (tallygate.Balance{Posted: 500 - c.charged, Held: 7}); client.Balance != want || client.Entries != 5+int64(c.entries) {
				t.Errorf("the account is %+v", client.Account)
			}
			if len(tx.entries) != c.entries {
				t.Fatalf("%d entries", len(tx.entries))
			}
			var posted, held tallygate.Money
			for _, e := range tx.entries {
				posted, held = posted+e.Posted, held+e.Held
				if e.JobID != "job_1" || e.Kind == tallygate.EntryCharge && e.Posted != e.Held || e.Kind == tallygate.EntryRelease && e.Posted != 0 {
					t.Errorf("the entry is %+v", e)
				}
			}
			if posted != -c.charged || held != -c.held {
				t.Errorf("the entries come to %s and %s", posted, held)
			}
		})
	}
}

func TestCreditAddsWithinTheMost(t *testing.T) {
	for _, c := range []struct {
		name           string
		posted, amount tallygate.Money
		refused        bool
	}{
		{"a little", 0, 1, false},
		{"to one who owes", -500, 200, false},
		{"up to the most", tallygate.MaxMoney - 5, 5, false},
		{"past the most", tallygate.MaxMoney - 5, 6, true},
		{"the most twice", tallygate.MaxMoney, tallygate.MaxMoney, true},
		{"nothing", 100, 0, true},
		{"less than nothing", 100, -1, true},
	} {
		tx, client := new(book), account(c.posted, 0, 0)
		entry, err := ledger.Credit(tx, new(tallygate.IDs), client, c.amount, "top-up")
		if c.refused {
			if e := tallygate.AsError(err); e.Code != tallygate.InvalidParameter || e.Field != "amount" || len(tx.entries) > 0 || client.Balance.Posted != c.posted {
				t.Errorf("%s: %v, %d entries", c.name, err, len(tx.entries))
			}
			continue
		}
		if err != nil || entry.Posted != c.amount || entry.Held != 0 || entry.Kind != tallygate.EntryCredit || entry.Note != "top-up" || client.Balance.Posted != c.posted+c.amount {
			t.Errorf("%s: %+v, %v", c.name, entry, err)
		}
	}
}

func TestEntriesSumToTheBalanceWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tx, ids := new(book), new(tallygate.IDs)
		client := &tallygate.Client{ID: "cl_a", MinimumBalance: tallygate.Money(rapid.Int64Range(-200, 200).Draw(t, "floor"))}
		amounts := rapid.Map(rapid.Int64Range(0, 300), func(n int64) tallygate.Money { return tallygate.Money(n) })
		var open []tallygate.Money // holds
		t.Repeat(map[string]func(*rapid.T){
			"credit": func(t *rapid.T) {
				if _, err := ledger.Credit(tx, ids, client, amounts.Draw(t, "amount")+1, ""); err != nil {
					t.Fatal(err)
				}
			},
			"hold": func(t *rapid.T) {
				amount := amounts.Draw(t, "amount")
				fits := client.Balance.Available()-amount >= client.MinimumBalance
				err := ledger.Hold(tx, ids, client, tallygate.JobID(fmt.Sprint(len(open))), amount)
				if (err == nil) != fits {
					t.Fatalf("a hold of %s on %+v with the floor %s: %v", amount, client.Balance, client.MinimumBalance, err)
				}
				if err == nil {
					open = append(open, amount)
				}
			},
			"settle": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("no hold is open")
				}
				last := len(open) - 1
				if _, err := ledger.Settle(tx, ids, client, tallygate.JobID(fmt.Sprint(last)), open[last], amounts.Draw(t, "charge")); err != nil {
					t.Fatal(err)
				}
				open = open[:last]
			},
			"": func(t *rapid.T) {
				var sum tallygate.Balance
				for i, e := range tx.entries {
					sum.Posted, sum.Held = sum.Posted+e.Posted, sum.Held+e.Held
					if e.Number != int64(i+1) || e.After != sum {
						t.Fatalf("entry %d is %+v on %+v", i, e, sum)
					}
				}
				var held tallygate.Money
				for _, m := range open {
					held += m
				}
				if client.Balance != sum || sum.Held != held || client.Entries != int64(len(tx.entries)) {
					t.Fatalf("the account is %+v, its entries come to %+v, %s is held", client.Account, sum, held)
				}
			},
		})
	})
}
