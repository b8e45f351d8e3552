package access

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
)

// Limit takes the cost of a call from the client's limit and the key's own, from both or from neither. A refusal is
// RATE_LIMIT_EXCEEDED. The operator's client has no limit; where nothing limits, the decision is zero.
func (s *Service) Limit(ctx context.Context, c *Caller, cost int64) (ratelimit.Decision, error) {
	checks := c.checks
	if cost != 1 || checks == nil {
		checks = c.limits(cost)
	}
	return s.take(ctx, checks...)
}

// limits are the checks of a call. Keys of one chain of rotations share a limit, so that rotating doubles nothing.
func (c *Caller) limits(cost int64) []ratelimit.Check {
	checks := make([]ratelimit.Check, 0, 2)
	if rate := c.Client.Limits.Rate; !c.Operator() && !rate.Unlimited() {
		checks = append(checks, ratelimit.Check{Key: "client:" + string(c.Client.ID), Name: "client", Limit: rate, Cost: cost})
	}
	if rate := c.Key.Rate; !rate.Unlimited() {
		checks = append(checks, ratelimit.Check{Key: "key:" + string(limitKey(c.Key)), Name: "key", Limit: rate, Cost: cost})
	}
	return checks
}

// limitKey is the first key of the chain of rotations that k is in.
func limitKey(k *tallygate.APIKey) tallygate.KeyID {
	if k.LimitKey == "" {
		return k.ID
	}
	return k.LimitKey
}

// TypeCost is what a call costs of a job type's limit.
type TypeCost struct {
	Type *tallygate.JobType
	Cost int64
}

// LimitTypes takes the costs from what the job types allow each client, all or none. The operator's client has no limit.
func (s *Service) LimitTypes(ctx context.Context, c *Caller, costs []TypeCost) (ratelimit.Decision, error) {
	if c.Operator() {
		return ratelimit.Decision{}, nil
	}
	checks := make([]ratelimit.Check, 0, len(costs))
	for _, t := range costs {
		if !t.Type.Rate.Unlimited() {
			checks = append(checks, ratelimit.Check{
				Key: "job_type:" + t.Type.Name + ":" + string(c.Client.ID), Name: "job_type", Limit: t.Type.Rate, Cost: t.Cost,
			})
		}
	}
	slices.SortFunc(checks, func(a, b ratelimit.Check) int { return strings.Compare(a.Key, b.Key) })
	return s.take(ctx, checks...)
}

// limitOwners say in a refusal whose limit it is.
var limitOwners = map[string]string{"client": "the client", "key": "the API key", "job_type": "the job type"}

func (s *Service) take(ctx context.Context, checks ...ratelimit.Check) (ratelimit.Decision, error) {
	if len(checks) == 0 {
		return ratelimit.Decision{}, nil
	}
	d := s.limiter.Take(ctx, s.now(), checks...)
	if d.OK {
		return d, nil
	}
	refusal := &tallygate.Error{Code: tallygate.RateLimitExceeded, RetryAfter: d.RetryAfter}
	if d.Never() {
		refusal.Final = true
		refusal.Detail = fmt.Sprintf("this call counts as %d requests and the limit of %s lets %d pass at once, so that it is never admitted; split it",
			mostOf(checks, d), limitOwners[d.Name], d.Limit.Burst)
		return d, refusal
	}
	refusal.Detail = fmt.Sprintf("the limit of %s is %s; wait %s",
		limitOwners[d.Name], describe(d.Limit), roundUp(d.RetryAfter))
	return d, refusal
}

// mostOf is the cost that the decision's limit never admits.
func mostOf(checks []ratelimit.Check, d ratelimit.Decision) (most int64) {
	for _, check := range checks {
		if check.Name == d.Name && check.Limit == d.Limit {
			most = max(most, check.Cost)
		}
	}
	return most
}

func describe(l tallygate.RateLimit) string {
	return fmt.Sprintf("%s requests a second and %d at once", strconv.FormatFloat(l.PerSecond, 'f', -1, 64), l.Burst)
}

// roundUp makes a wait readable without making it shorter.
func roundUp(wait time.Duration) time.Duration {
	return (wait + time.Millisecond - 1).Truncate(time.Millisecond)
}

// refuse answers a failed authentication: with its 401, or past the address's limit of failures with a 429.
func (s *Service) refuse(ctx context.Context, now time.Time, addr netip.Addr, refusal *tallygate.Error) error {
	if s.failureLimit.Unlimited() {
		return refusal
	}
	d := s.failures.Take(ctx, now, ratelimit.Check{Key: neighbourhood(addr), Name: "auth", Limit: s.failureLimit, Cost: 1})
	if d.OK {
		return refusal
	}
	return &tallygate.Error{
		Code:       tallygate.RateLimitExceeded,
		Detail:     "authentication failed too often from this address; wait, and send a valid key, which is not refused for it",
		RetryAfter: d.RetryAfter,
	}
}

// neighbourhood is what one caller can be expected to hold: an IPv4 address, or an IPv6 network of 64 bits.
func neighbourhood(addr netip.Addr) string {
	var text [64]byte
	if addr.Is6() {
		bytes := addr.As16()
		clear(bytes[8:])
		addr = netip.AddrFrom16(bytes)
	}
	return string(addr.AppendTo(text[:0]))
}
