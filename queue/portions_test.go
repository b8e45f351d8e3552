package queue

import (
	"slices"
	"testing"

	"github.com/tallygate/tallygate"
)

func TestPortionsHoldBoundedBytesOrOneJob(t *testing.T) {
	const full = removeBytes
	for _, c := range []struct{ sizes, want []int64 }{
		{nil, nil},
		{[]int64{0, 0, 0}, []int64{3}},
		{[]int64{full}, []int64{1}},
		{[]int64{full - 1, 1, 1}, []int64{2, 1}},
		{[]int64{full + 1, 0, full + 1}, []int64{1, 1, 1}},
		{[]int64{1, full, 0, 1, full - 1}, []int64{1, 2, 2}},
	} {
		var ended, removed []tallygate.EndedJob
		for _, bytes := range c.sizes {
			ended = append(ended, tallygate.EndedJob{Bytes: bytes})
		}
		var lengths []int64
		for some := range portions(ended) {
			lengths = append(lengths, int64(len(some)))
			removed = append(removed, some...)
		}
		if !slices.Equal(lengths, c.want) || !slices.Equal(removed, ended) {
			t.Errorf("%v is cut into %v, want %v", c.sizes, lengths, c.want)
		}
	}
}
