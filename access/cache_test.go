package access

import (
	"testing"
	"time"
)

// TestWhatIsKeptIsDroppedAfterASilence: also where the revision is the one that is known, since a database that lost its
// last changes gives their revisions anew.
func TestWhatIsKeptIsDroppedAfterASilence(t *testing.T) {
	start := time.Unix(0, 0)
	c := newCache(100, start)
	c.observe(7, start)
	c.put("body", &Caller{}, c.epoch.Load())
	for _, news := range []struct {
		after time.Duration
		kept  bool
	}{{staleAfter - 1, true}, {2*staleAfter - 2, true}, {3*staleAfter - 2, false}} {
		c.observe(7, start.Add(news.after))
		if _, found := c.get("body"); found != news.kept {
			t.Errorf("news of the same revision after %v: kept %v, want %v", news.after, found, news.kept)
		}
	}
}
