package tallygate_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestIDsRiseStrictlyAlsoWhenTheClockStepsBack(t *testing.T) {
	var ids tallygate.IDs
	before := ""
	for i, step := range []time.Duration{0, 0, time.Millisecond, -time.Hour, 0, time.Hour, 0, -time.Millisecond, 48 * time.Hour} {
		for range 500 {
			id := ids.Next(tallygate.JobPrefix, noon.Add(step))
			if id <= before {
				t.Fatalf("step %d: %s after %s", i, id, before)
			}
			if !tallygate.ValidID(tallygate.JobPrefix, id) {
				t.Fatalf("step %d: %s is not valid", i, id)
			}
			before = id
		}
	}
}

func TestIDsSortByTimeAcrossProcesses(t *testing.T) {
	var made []string
	for i := range 200 { // a maker each, as separate processes have
		made = append(made, new(tallygate.IDs).Next(tallygate.ClientPrefix, noon.Add(time.Duration(i)*time.Millisecond)))
	}
	if !slices.IsSorted(made) {
		t.Error("ids of later milliseconds sort before earlier ones")
	}
}

func TestIDsAreDistinctUnderConcurrency(t *testing.T) {
	var ids tallygate.IDs
	const makers, each = 8, 2000
	made := make([][]string, makers)
	var wg sync.WaitGroup
	for i := range makers {
		wg.Go(func() {
			for range each {
				made[i] = append(made[i], ids.Next(tallygate.EntryPrefix, noon))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(made...)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != makers*each {
		t.Errorf("%d distinct ids of %d", n, makers*each)
	}
}

func TestEventIDsSortByTimeThenByNumber(t *testing.T) {
	ids := []tallygate.EventID{
		tallygate.NewEventID(noon, 1),
		tallygate.NewEventID(noon, 2),
		tallygate.NewEventID(noon, 31),
		tallygate.NewEventID(noon, 32),
		tallygate.NewEventID(noon, 1<<62),
		tallygate.NewEventID(noon.Add(time.Millisecond), 3),
	}
	if !slices.IsSorted(ids) {
		t.Errorf("not sorted: %q", ids)
	}
	for _, id := range ids {
		if !tallygate.ValidID(tallygate.EventPrefix, string(id)) {
			t.Errorf("%s is not valid", id)
		}
	}
	if again := tallygate.NewEventID(noon, 2); again != ids[1] {
		t.Errorf("the same event is %s and %s", again, ids[1])
	}
}

func TestValidID(t *testing.T) {
	good := new(tallygate.IDs).Next(tallygate.JobPrefix, noon)
	for _, c := range []struct {
		name, prefix, id string
		want             bool
	}{
		{"a made one", tallygate.JobPrefix, good, true},
		{"the operator", tallygate.ClientPrefix, string(tallygate.OperatorClientID), true},
		{"the largest", tallygate.JobPrefix, "job_7zzzzzzzzzzzzzzzzzzzzzzzzz", true},
		{"past 128 bits", tallygate.JobPrefix, "job_8zzzzzzzzzzzzzzzzzzzzzzzzz", false},
		{"empty", tallygate.JobPrefix, "", false},
		{"the prefix alone", tallygate.JobPrefix, "job_", false},
		{"another prefix", tallygate.ClientPrefix, good, false},
		{"too short", tallygate.JobPrefix, good[:len(good)-1], false},
		{"too long", tallygate.JobPrefix, good + "0", false},
		{"upper case", tallygate.JobPrefix, strings.ToUpper(good), false},
		{"a letter that the alphabet leaves out", tallygate.JobPrefix, good[:len(good)-1] + "u", false},
		{"a byte that is no letter", tallygate.JobPrefix, good[:len(good)-1] + "\x00", false},
		{"two bytes for one", tallygate.JobPrefix, good[:len(good)-2] + "é", false},
	} {
		if got := tallygate.ValidID(c.prefix, c.id); got != c.want {
			t.Errorf("%s: ValidID(%q, %q) = %v", c.name, c.prefix, c.id, got)
		}
	}
}

func TestTheOperatorSortsBeforeEveryClient(t *testing.T) {
	if id := new(tallygate.IDs).Next(tallygate.ClientPrefix, time.UnixMilli(1)); string(tallygate.OperatorClientID) >= id {
		t.Errorf("%s sorts after %s", tallygate.OperatorClientID, id)
	}
}
