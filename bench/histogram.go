package bench

import (
	"math/bits"
	"time"
)

// A histogram counts latencies in log-linear buckets, after Gil Tene's
// HdrHistogram: values below 256 ns are exact, above that each power of two is
// cut into 128 buckets, so a quantile is off by less than 1 %. Recording
// allocates nothing. Not safe for concurrent use: one per connection, merged
// at the end.
type histogram struct {
	counts [histogramBuckets]uint64
	total  uint64
	max    time.Duration
}

const (
	subBits          = 7
	subBuckets       = 1 << subBits
	histogramCeiling = 1<<40 - 1 // ns, some 18 minutes; longer ones count there
	histogramBuckets = (40 - subBits + 1) * subBuckets
)

func bucketOf(ns uint64) int {
	if ns < subBuckets {
		return int(ns)
	}
	shift := bits.Len64(ns) - subBits - 1
	return shift*subBuckets + int(ns>>shift)
}

// bucketRange gives the lowest value of a bucket and how many values it holds.
func bucketRange(bucket int) (low, width uint64) {
	if bucket < 2*subBuckets {
		return uint64(bucket), 1
	}
	shift := bucket/subBuckets - 1
	return uint64(bucket-shift*subBuckets) << shift, 1 << shift
}

func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.counts[bucketOf(min(uint64(d), histogramCeiling))]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile gives the latency that the share q (0 to 1) of all does not exceed:
// the middle of its bucket, never more than the largest seen; 0 when empty.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) {
		rank++
	}
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			low, width := bucketRange(i)
			return min(time.Duration(low+width/2), h.max)
		}
	}
	return h.max
}

// latency is a histogram's summary, as it travels between processes.
type latency struct {
	Count int64 `json:"count"`
	P50   span  `json:"p50"`
	P99   span  `json:"p99"`
	Max   span  `json:"max"`
}

func (h *histogram) summary() latency {
	return latency{
		Count: int64(h.total),
		P50:   span(h.quantile(0.50)),
		P99:   span(h.quantile(0.99)),
		Max:   span(h.max),
	}
}

// span is a duration that reads "1.5s" in JSON.
type span time.Duration

func (s span) MarshalText() ([]byte, error) {
	return []byte(time.Duration(s).String()), nil
}

func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}

func (s span) milliseconds() float64 {
	return float64(s) / float64(time.Millisecond)
}
