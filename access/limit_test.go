package access

import (
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
)

// setRate gives a client a limit.
func (h *house) setRate(id tallygate.ClientID, perSecond float64, burst int64) {
	h.Helper()
	_, err := h.service.PatchClient(h.Context(), h.as(h.operator), id, ClientChange{Limits: LimitsChange{PerSecond: &perSecond, Burst: &burst}}, noBody)
	h.must(err)
}

func TestLimitTakesFromClientAndKeyOrFromNeither(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	h.setRate(c.ID, 1, 5)
	_, narrow := h.key(c.ID, NewKey{Rate: rate(2, 2)})
	_, wide := h.key(c.ID, NewKey{})
	limit := func(text string, cost int64) (ratelimit.Decision, error) {
		return h.service.Limit(t.Context(), h.caller(text), cost)
	}

	d, err := limit(narrow, 1)
	h.must(err)
	if !d.OK || d.Name != "key" || d.Limit != rate(2, 2) || d.Remaining != 1 {
		t.Errorf("the key's limit is the tightest, but the decision is %+v", d)
	}
	_, err = limit(narrow, 1)
	h.must(err)
	for range 10 {
		d, err = limit(narrow, 1)
		wantCode(t, err, tallygate.RateLimitExceeded, "the API key", "2 requests a second", "wait 500ms")
		if e := tallygate.AsError(err); e.RetryAfter != 500*time.Millisecond || !e.Retry() || d.OK || d.Name != "key" {
			t.Errorf("%+v with %+v", e, d)
		}
	}
	d, err = limit(wide, 3)
	h.must(err)
	if d.Name != "client" || d.Remaining != 0 {
		t.Errorf("the key's refusals cost the client something: %+v", d)
	}
	_, err = limit(wide, 1)
	wantCode(t, err, tallygate.RateLimitExceeded, "the client", "wait 1s")
	h.clock.pass(time.Second)
	_, err = limit(wide, 1)
	h.must(err)

	_, err = limit(wide, 6)
	wantCode(t, err, tallygate.RateLimitExceeded, "never admitted", "6 requests")
	if tallygate.AsError(err).Retry() {
		t.Error("a call that is never admitted is to be retried")
	}
}

func TestLimitIsSharedByAChainOfRotations(t *testing.T) {
	h := newHouse(t)
	k, first := h.key(h.client("Acme").ID, NewKey{Rate: rate(1, 2)})
	second, secondText, err := h.rotate(h.operator, k, time.Hour)
	h.must(err)
	_, thirdText, err := h.rotate(h.operator, second, time.Hour)
	h.must(err)
	for i, text := range []string{first, thirdText} {
		if _, err := h.service.Limit(t.Context(), h.caller(text), 1); err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	_, err = h.service.Limit(t.Context(), h.caller(secondText), 1)
	wantCode(t, err, tallygate.RateLimitExceeded)
}

func TestLimitOfCallersMadeByHand(t *testing.T) {
	h := newHouse(t)
	c := &Caller{Key: &tallygate.APIKey{ID: "key_x"}, Client: &tallygate.Client{ID: "cl_x", Limits: tallygate.ClientLimits{Rate: rate(1, 1)}}}
	if d, err := h.service.Limit(t.Context(), c, 1); err != nil || d.Name != "client" {
		t.Errorf("%+v, %v", d, err)
	}
	_, err := h.service.Limit(t.Context(), c, 1)
	wantCode(t, err, tallygate.RateLimitExceeded)
}

func TestOperatorHasNoLimitButItsKeysOwn(t *testing.T) {
	h := newHouse(t)
	typ := &tallygate.JobType{Name: "text.stats", Rate: rate(1, 1)}
	for range 1000 {
		d, err := h.service.Limit(t.Context(), h.operator, 100)
		if err != nil || d != (ratelimit.Decision{}) {
			t.Fatalf("%+v, %v", d, err)
		}
		if d, err = h.service.LimitTypes(t.Context(), h.operator, []TypeCost{{typ, 100}}); err != nil || d != (ratelimit.Decision{}) {
			t.Fatalf("%+v, %v", d, err)
		}
	}
	_, text := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"work"}, Rate: rate(1, 1)})
	worker := h.caller(text)
	_, err := h.service.Limit(t.Context(), worker, 1)
	h.must(err)
	_, err = h.service.Limit(t.Context(), worker, 1)
	wantCode(t, err, tallygate.RateLimitExceeded)
}

func TestLimitTypeIsPerClientAndType(t *testing.T) {
	h := newHouse(t)
	_, one := h.key(h.client("One").ID, NewKey{})
	_, two := h.key(h.client("Two").ID, NewKey{})
	stats := &tallygate.JobType{Name: "text.stats", Rate: rate(1, 2)}
	other := &tallygate.JobType{Name: "text.other", Rate: rate(1, 1)}
	free := &tallygate.JobType{Name: "text.free"}
	limit := func(text string, typ *tallygate.JobType, cost int64) error {
		_, err := h.service.LimitTypes(t.Context(), h.caller(text), []TypeCost{{typ, cost}})
		return err
	}
	h.must(limit(one, stats, 2))
	wantCode(t, limit(one, stats, 1), tallygate.RateLimitExceeded, "the job type")
	h.must(limit(two, stats, 1))
	h.must(limit(one, other, 1))
	for range 100 {
		h.must(limit(one, free, 1000))
	}
}

func TestLimitTypesTakeFromAllOrFromNone(t *testing.T) {
	h := newHouse(t)
	_, text := h.key(h.client("Acme").ID, NewKey{})
	wide, narrow := &tallygate.JobType{Name: "b.wide", Rate: rate(0.01, 10)}, &tallygate.JobType{Name: "a.narrow", Rate: rate(0.01, 1)}
	limit := func(costs ...TypeCost) error {
		_, err := h.service.LimitTypes(t.Context(), h.caller(text), costs)
		return err
	}
	h.must(limit(TypeCost{narrow, 1}))
	for range 20 {
		wantCode(t, limit(TypeCost{wide, 1}, TypeCost{narrow, 1}), tallygate.RateLimitExceeded, "1 at once")
	}
	wantCode(t, limit(TypeCost{wide, 11}, TypeCost{narrow, 1}), tallygate.RateLimitExceeded, "counts as 11 requests")
	h.must(limit(TypeCost{wide, 10}))
}

func TestALimitedKeySharesItsLimitWithTheKeysItMakes(t *testing.T) {
	h := newHouse(t)
	client := h.client("Acme").ID
	_, text := h.key(client, NewKey{Rate: rate(0.01, 2)})
	made, madeText, err := h.createKey(h.caller(text), client, NewKey{Permissions: []string{"keys:write"}, Rate: rate(0.01, 2)})
	h.must(err)
	_, lastText, err := h.createKey(h.caller(madeText), client, NewKey{Permissions: []string{"keys:write"}, Rate: rate(0.01, 2)})
	h.must(err)
	for _, one := range []string{text, madeText} {
		_, err = h.service.Limit(t.Context(), h.caller(one), 1)
		h.must(err)
	}
	_, err = h.service.Limit(t.Context(), h.caller(lastText), 1)
	wantCode(t, err, tallygate.RateLimitExceeded, "the API key")

	_, free := h.key(client, NewKey{})
	own, _, err := h.createKey(h.caller(free), client, NewKey{Permissions: []string{"jobs:read"}, Rate: rate(1, 1)})
	h.must(err)
	if own.LimitKey != own.ID || made.LimitKey == made.ID {
		t.Errorf("limits are kept under %s for %s and %s for %s", own.LimitKey, own.ID, made.LimitKey, made.ID)
	}
}
