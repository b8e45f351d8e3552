package e2e

import (
	"cmp"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// holding is one worker's lease, as it was told. All clocks are this machine's.
type holding struct {
	granted  time.Time
	expires  atomic.Int64 // Unix nanoseconds
	reported atomic.Int64 // when a report set out; 0: none did
}

func (h *holding) reports(at time.Time) { h.reported.CompareAndSwap(0, at.UnixNano()) }

// ends is when nobody held the lease any more: it had expired, or its worker had begun to report.
func (h *holding) ends() time.Time {
	ends := h.expires.Load()
	if reported := h.reported.Load(); reported != 0 {
		ends = min(ends, reported)
	}
	return time.Unix(0, ends)
}

// holds takes down a lease that a worker got.
func (l *load) holds(job string, expires time.Time) *holding {
	h := &holding{granted: expires.Add(-loadedLease)}
	h.expires.Store(expires.UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[job] = append(l.held[job], h)
	return h
}

// beats renews a lease.
func (l *load) beats(job, token string, h *holding) {
	a, ok := l.once(l.worker.caller, "/v1/worker/jobs/"+job+"/heartbeat", object{"token": token, "progress": 0.5, "logs": []string{"half"}})
	if !ok || a.status != http.StatusOK {
		return
	}
	var said struct {
		Expires time.Time `json:"expires_at"`
	}
	l.into(a, &said)
	h.expires.Store(said.Expires.UnixNano())
}

// oneHolderEach makes sure that no lease was granted while another worker held one on the same job.
func (l *load) oneHolderEach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	const rounding = 10 * time.Millisecond // of times as they are printed, and the database's clock against this one
	again := 0
	for job, held := range l.held {
		slices.SortFunc(held, func(a, b *holding) int { return cmp.Compare(a.granted.UnixNano(), b.granted.UnixNano()) })
		for i := 1; i < len(held); i++ {
			again++
			if before, after := held[i-1].ends(), held[i].granted; after.Before(before.Add(-rounding)) {
				l.t.Errorf("job %s was leased again at %s, and its lease was held until %s", job, after.Format(time.StampMicro), before.Format(time.StampMicro))
			}
		}
	}
	l.t.Logf("%d jobs were leased, %d times again", len(l.held), again)
}
