package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
)

const (
	refuseTarget = 0.8 // of the base's requests a second
	unknownKeys  = 1000
)

// refuse measures what it costs to say no: to junk, to keys that do not exist,
// to a client over its limit.
func refuse(ctx context.Context, s *session) error {
	i, err := s.start(ctx, "refuse")
	if err != nil {
		return err
	}
	account := request{
		Method: http.MethodGet,
		Path:   "/v1/account",
		Header: [][2]string{{"Authorization", "Bearer " + keyHole}},
	}
	s.part(ctx, "refuse-junk", func() error {
		w := s.requests(i, account, http.StatusUnauthorized, "tg_live_not-a-key")
		return refused(ctx, s, "refuse-junk", i, w, "AUTHENTICATION_FAILED")
	})
	s.part(ctx, "refuse-unknown", func() error {
		if s.MakeKey == nil {
			return errors.New("needs Options.MakeKey")
		}
		keys := make([]string, unknownKeys)
		for n := range keys {
			keys[n] = s.MakeKey()
		}
		w := s.requests(i, account, http.StatusUnauthorized, keys...)
		return refused(ctx, s, "refuse-unknown", i, w, "INVALID_API_KEY")
	})
	s.part(ctx, "refuse-limited", func() error {
		c, err := i.newCustomer(ctx, "limited", narrow())
		if err != nil {
			return err
		}
		w := s.requests(i, account, http.StatusTooManyRequests, c.key)
		w.Tolerate = http.StatusOK // the one per second
		return refused(ctx, s, "refuse-limited", i, w, "RATE_LIMIT_EXCEEDED")
	})
	return nil
}

func refused(ctx context.Context, s *session, scenario string, i *instance, w workload, code string) error {
	first, err := capture(ctx, w)
	for tries := 0; err == nil && first.Status == w.Tolerate && tries < 20; tries++ {
		first, err = capture(ctx, w)
	}
	if err != nil {
		return err
	}
	if first.Status != w.Expect || !bytes.Contains(first.Body, []byte(`"`+code+`"`)) {
		return fmt.Errorf("the server answers %d %.300s, not %d %s", first.Status, first.Body, w.Expect, code)
	}
	rounds, err := s.versus(ctx, scenario, i, w, first, false)
	if err != nil {
		return err
	}
	s.report.add(rateRow(scenario, rounds).atLeast(refuseTarget, ofBase))
	s.report.addCost(scenario, "a request", rounds)
	return nil
}
