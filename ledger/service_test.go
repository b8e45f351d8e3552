package ledger_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ledger"
	"github.com/tallygate/tallygate/store/enginetest"
)

// shop is a service over a fresh store with a client.
type shop struct {
	*testing.T
	store  tallygate.Store
	ledger *ledger.Service
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := enginetest.Open(t, func() time.Time { return noon })
	if err := s.Update(t.Context(), func(tx tallygate.Tx) error {
		return tx.InsertClient(&tallygate.Client{ID: "cl_a", Status: tallygate.ClientActive, Metadata: []byte("{}")})
	}); err != nil {
		t.Fatal(err)
	}
	return &shop{t, s, ledger.New(s, new(tallygate.IDs))}
}

// topUp credits the client and answers with the entry's number and amount.
func (s *shop) topUp(amount, key string) (answer string, replayed bool, err error) {
	body, replayed, err := s.ledger.Credit(context.Background(), ledger.TopUp{
		Client: "cl_a", Amount: money(s.T, amount), Note: "invoice 7", Actor: "key_op",
		Idempotency: tallygate.Idempotency{ClientID: tallygate.OperatorClientID, Key: key, RequestHash: [32]byte{byte(len(amount)), amount[0]}},
	}, func(e *tallygate.Entry) []byte { return fmt.Appendf(nil, "%d: %s", e.Number, e.Posted) })
	return string(body), replayed, err
}

func money(t *testing.T, s string) tallygate.Money {
	t.Helper()
	m, err := tallygate.ParseMoney(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// inOrder audits the store and checks the client's balance.
func (s *shop) inOrder(posted string) {
	s.Helper()
	if err := s.store.View(s.Context(), func(tx tallygate.Tx) error {
		c, err := tx.Client("cl_a")
		if err != nil {
			return err
		}
		if got := c.Balance.Posted.String(); got != posted {
			s.Errorf("posted %s, want %s", got, posted)
		}
		report, err := tx.Audit()
		if err == nil && len(report.Findings) > 0 {
			s.Errorf("the audit found %+v", report.Findings)
		}
		return err
	}); err != nil {
		s.Fatal(err)
	}
}

func TestATopUpIsHadOnceUnderItsKey(t *testing.T) {
	s := newShop(t)
	for _, step := range []struct {
		amount, key, answer string
		replayed            bool
		refused             bool
		posted              string
	}{
		{"25.00", "first", "1: 25.00", false, false, "25.00"},
		{"25.00", "first", "1: 25.00", true, false, "25.00"},
		{"5.00", "first", "", false, true, "25.00"},
		{"25.00", "second", "2: 25.00", false, false, "50.00"},
		{"25.00", "first", "1: 25.00", true, false, "50.00"},
	} {
		answer, replayed, err := s.topUp(step.amount, step.key)
		if answer != step.answer || replayed != step.replayed || tallygate.IsCode(err, tallygate.InvalidParameter) != step.refused {
			t.Errorf("%+v: answered %q, replayed %v, %v", step, answer, replayed, err)
		}
		s.inOrder(step.posted)
	}
}

func TestTheSameTopUpFromManyAtOnceIsHadOnce(t *testing.T) {
	s := newShop(t)
	var wg sync.WaitGroup
	answers := make([]string, 20)
	for i := range answers {
		wg.Go(func() {
			answer, _, err := s.topUp("25.00", "first")
			if err != nil {
				t.Error(err)
			}
			answers[i] = answer
		})
	}
	wg.Wait()
	for _, answer := range answers {
		if answer != answers[0] {
			t.Errorf("answers %q", answers)
			break
		}
	}
	s.inOrder("25.00")
}

func TestARefusedTopUpLeavesItsKeyFree(t *testing.T) {
	s := newShop(t)
	if _, _, err := s.topUp("0.00", "first"); !tallygate.IsCode(err, tallygate.InvalidParameter) {
		t.Errorf("a top-up of nothing: %v", err)
	}
	if answer, replayed, err := s.topUp("3.00", "first"); answer != "1: 3.00" || replayed || err != nil {
		t.Errorf("answered %q, replayed %v, %v", answer, replayed, err)
	}
	s.inOrder("3.00")
}

func TestATopUpOfNobodyIsRefused(t *testing.T) {
	s := newShop(t)
	_, _, err := s.ledger.Credit(t.Context(), ledger.TopUp{Client: "cl_nobody", Amount: 1}, func(*tallygate.Entry) []byte { return nil })
	if !tallygate.IsCode(err, tallygate.ClientNotFound) {
		t.Errorf("credit: %v", err)
	}
}

func TestATopUpIsInTheAuditTrailAndTheLedger(t *testing.T) {
	s := newShop(t)
	if _, _, err := s.topUp("25.00", ""); err != nil {
		t.Fatal(err)
	}
	entries, err := s.ledger.Entries(t.Context(), "cl_a", tallygate.Page{Limit: 10})
	if err != nil || len(entries) != 1 || entries[0].Note != "invoice 7" {
		t.Fatalf("entries %+v, %v", entries, err)
	}
	if err := s.store.View(t.Context(), func(tx tallygate.Tx) error {
		events, err := tx.AuditEvents(tallygate.Page{Limit: 10})
		if err != nil {
			return err
		}
		want := `{"amount":"25.00","entry_id":"` + string(entries[0].ID) + `"}`
		if len(events) != 1 || events[0].Kind != tallygate.EventClientCredited || events[0].Actor != "key_op" ||
			events[0].Subject != "cl_a" || events[0].ClientID != "cl_a" || string(events[0].Data) != want {
			t.Errorf("the trail is %+v", events)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
