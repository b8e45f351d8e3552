package bench

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreContiguousAndNarrow(t *testing.T) {
	next := uint64(0)
	for i := range histogramBuckets {
		low, width := bucketRange(i)
		if low != next {
			t.Fatalf("bucket %d starts at %d, want %d", i, low, next)
		}
		if bucketOf(low) != i || bucketOf(low+width-1) != i {
			t.Fatalf("bucket %d does not hold its own bounds %d and %d", i, low, low+width-1)
		}
		if low >= subBuckets && float64(width) > float64(low)/subBuckets {
			t.Fatalf("bucket %d is %d wide at %d", i, width, low)
		}
		next = low + width
	}
	if next != histogramCeiling+1 {
		t.Fatalf("the buckets end at %d, want %d", next, uint64(histogramCeiling+1))
	}
}

func TestQuantilesAreWithinOnePercent(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	var whole, half histogram
	var values []time.Duration
	for i := range 20_000 {
		d := time.Duration(random.ExpFloat64() * float64(3*time.Millisecond))
		values = append(values, d)
		if i%2 == 0 {
			whole.record(d)
		} else {
			half.record(d)
		}
	}
	whole.merge(&half)
	slices.Sort(values)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := values[max(int(q*float64(len(values))), 1)-1]
		got := whole.quantile(q)
		if diff := float64(got-want) / float64(want); diff > 0.01 || diff < -0.01 {
			t.Errorf("seed %d: quantile %v is %v, want about %v", seed, q, got, want)
		}
	}
	if whole.max != values[len(values)-1] {
		t.Errorf("seed %d: max %v, want %v", seed, whole.max, values[len(values)-1])
	}
}

func TestHistogramAtItsEdges(t *testing.T) {
	var h histogram
	if h.quantile(0.5) != 0 {
		t.Error("an empty histogram has a quantile")
	}
	h.record(-time.Second)
	if h.quantile(1) != 0 {
		t.Error("a negative latency is not counted as 0")
	}
	h.record(24 * time.Hour)
	if h.max != 24*time.Hour || h.total != 2 {
		t.Errorf("past the ceiling: max %v, total %d", h.max, h.total)
	}
}

func TestSpanReadsAsGoDuration(t *testing.T) {
	text, err := json.Marshal(latency{P50: span(1500 * time.Microsecond)})
	if err != nil {
		t.Fatal(err)
	}
	var back latency
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.P50.milliseconds() != 1.5 {
		t.Errorf("%s read back as %v ms", text, back.P50.milliseconds())
	}
}
