package api

import (
	"math"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
)

// tighten keeps the decision that leaves the caller least.
func (c *call) tighten(d ratelimit.Decision) {
	if d.Limit.Unlimited() {
		return
	}
	held := &c.limit
	if held.Limit.Unlimited() || !d.OK || share(&d) < share(held) {
		*held = d
	}
}

// share is which part of the limit is left.
func share(d *ratelimit.Decision) float64 {
	return float64(d.Remaining) / float64(max(1, d.Limit.Burst))
}

// limitHeaders writes the rate-limit headers of draft-ietf-httpapi-ratelimit-headers-10 (a quota of burst requests per
// window of the time in which all of them come back) and the older X-RateLimit ones, whose Reset is a Unix time.
func (c *call) limitHeaders(h http.Header) {
	d := &c.limit
	if d.Limit.Unlimited() {
		return
	}
	policy := c.server.policies.of(policyKey{d.Name, d.Limit})
	h["Ratelimit-Policy"] = policy.header
	h["X-Ratelimit-Limit"] = policy.limit
	// The three values that change are cut from one string.
	var buffer [96]byte
	b := append(buffer[:0], '"')
	b = append(b, d.Name...)
	b = append(b, `";r=`...)
	left := len(b)
	b = strconv.AppendInt(b, max(0, d.Remaining), 10)
	leftEnd := len(b)
	b = append(b, ";t="...)
	b = strconv.AppendInt(b, wholeSeconds(d.ResetAfter), 10)
	end := len(b)
	b = strconv.AppendInt(b, c.start.Add(d.ResetAfter+time.Second-1).Unix(), 10)
	values := string(b)
	c.setHeader("Ratelimit", slotRateLimit, values[:end])
	c.setHeader("X-Ratelimit-Remaining", slotRemaining, values[left:leftEnd])
	c.setHeader("X-Ratelimit-Reset", slotReset, values[end:])
}

// policy is the part of the headers that a limit fixes.
type policy struct {
	header []string // RateLimit-Policy
	limit  []string // X-RateLimit-Limit
}

type policyKey struct {
	name string
	rate tallygate.RateLimit
}

// policies keeps the header values of the limits in use. A map is replaced and never changed, so that reading it
// needs no lock.
type policies struct {
	known atomic.Pointer[map[policyKey]*policy]
}

const maxPolicies = 1000

func (p *policies) of(key policyKey) *policy {
	known := p.known.Load()
	if known != nil {
		if found := (*known)[key]; found != nil {
			return found
		}
	}
	window := int64(math.Ceil(float64(key.rate.Burst) / key.rate.PerSecond))
	made := &policy{
		header: []string{`"` + key.name + `";q=` + strconv.FormatInt(key.rate.Burst, 10) + ";w=" + strconv.FormatInt(max(1, window), 10)},
		limit:  []string{strconv.FormatInt(key.rate.Burst, 10)},
	}
	next := map[policyKey]*policy{key: made}
	if known != nil && len(*known) < maxPolicies {
		for k, v := range *known {
			next[k] = v
		}
	}
	p.known.Store(&next) // one that another request adds at the same instant may be lost, and is made again
	return made
}
