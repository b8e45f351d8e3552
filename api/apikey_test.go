package api

import (
	"testing"
	"time"
)

// TestTheStatusOfAKeyIsToldByTheClockThatDecides: where nodes share a clock, this machine's own may be off.
func TestTheStatusOfAKeyIsToldByTheClockThatDecides(t *testing.T) {
	clock := newClock()
	h := newHouse(t, clock.Now, func(o *Options) {
		o.Now = func() time.Time { return clock.Now().Add(-30 * time.Second) }
	})
	made := h.ok("POST", "/v1/api-keys", h.keys["acme"], `{"permissions":["jobs:read"],"expires_at":"2026-01-31T12:00:01Z"}`)
	for _, want := range []string{"active", "expired"} {
		if got := text(h.ok("GET", "/v1/api-keys/"+text(made, "id"), h.keys["acme"], ""), "status"); got != want {
			t.Errorf("the key is %s, want %s", got, want)
		}
		clock.Advance(time.Second)
	}
}
