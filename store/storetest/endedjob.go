package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/tallygate/tallygate"
)

// longAgo is where the walks' times begin: all of them are past at noon.
var longAgo = noon.Add(-1000 * time.Hour)

// endJob inserts a job of the type that ended so long after the beginning.
func (f *fixture) endJob(jobType string, after time.Duration) tallygate.EndedJob {
	f.Helper()
	j := f.newJob("cl_a", jobType)
	o := outcome(j)
	o.FinishedAt = longAgo.Add(after)
	f.update(func(tx tallygate.Tx) error { return ended(tx, j, o) })
	return tallygate.EndedJob{ID: j.ID, ClientID: "cl_a", Bytes: int64(len(j.Input) + len(o.Result))}
}

// endedWalk goes on where it stopped, as long as it gets on.
type endedWalk struct {
	jobType string
	last    int64
}

func (w *endedWalk) on(f *fixture, before time.Duration, limit int) (found []tallygate.EndedJob) {
	f.Helper()
	f.view(func(tx tallygate.Tx) error {
		for {
			page, last, err := tx.EndedJobs(w.jobType, longAgo.Add(before), w.last, limit)
			if err != nil {
				return err
			}
			if len(page) > limit || last < w.last {
				return fmt.Errorf("%d jobs with a limit of %d, from %d to %d", len(page), limit, w.last, last)
			}
			found = append(found, page...)
			if last == w.last {
				return nil
			}
			w.last = last
		}
	})
	return found
}

var endedJobCases = []testCase{
	{"the walk over ended jobs finds those of a type that ended before a time, and goes on from there", func(f *fixture) {
		var x, y []tallygate.EndedJob
		for i := range 12 {
			at := time.Duration(i) * time.Hour
			if i%3 == 0 {
				y = append(y, f.endJob("y", at))
			} else {
				x = append(x, f.endJob("x", at))
			}
		}
		walkX, walkY := endedWalk{jobType: "x"}, endedWalk{jobType: "y"}
		for i, step := range []struct {
			walk   *endedWalk
			before time.Duration
			want   []tallygate.EndedJob
		}{
			{&walkX, 0, nil},                       // nothing ended before the beginning
			{&walkX, 2 * time.Hour, x[:1]},         // the one at 2h ended at the time, not before
			{&walkX, 2 * time.Hour, nil},           // once
			{&walkX, 6 * time.Hour, x[1:4]},        // 2h, 4h, 5h
			{&walkY, 6*time.Hour + 1000, y[:3]},    // 0h, 3h, 6h: each type has its own walk
			{&walkX, 100 * time.Hour, x[4:]},       // the rest
			{&walkY, 100 * time.Hour, y[3:]},       // the rest
			{&walkX, 100 * time.Hour, nil},         // nothing new
			{&endedWalk{jobType: "z"}, 100e9, nil}, // an unknown type
		} {
			if got := step.walk.on(f, step.before, 2); !slices.Equal(got, step.want) {
				f.Errorf("step %d found %v, want %v", i, got, step.want)
			}
		}
	}},
	{"what was written while the clock was ahead does not stop the walk, and is found later", func(f *fixture) {
		const ahead = 2000 * time.Hour
		for range 3 {
			f.endJob("y", ahead)
		}
		first := f.endJob("x", 0)
		late := f.endJob("x", ahead)
		young := f.endJob("x", 2*time.Hour)
		walk := endedWalk{jobType: "x"}
		for _, step := range []struct {
			before time.Duration
			want   []tallygate.EndedJob
		}{{time.Hour, []tallygate.EndedJob{first}}, {time.Hour, nil}, {3 * time.Hour, []tallygate.EndedJob{young}}} {
			if got := walk.on(f, step.before, 2); !slices.Equal(got, step.want) {
				f.Errorf("before %s it found %v, want %v", step.before, got, step.want)
			}
		}
		again := endedWalk{jobType: "x"}
		if got := again.on(f, ahead+time.Hour, 2); !slices.Equal(got, []tallygate.EndedJob{first, late, young}) {
			f.Errorf("a later walk from the start found %v", got)
		}
	}},
	{"an ended job's bytes are those of its input, its result and its events", func(f *fixture) {
		want := f.endJob("x", 0)
		before := want.Bytes
		f.update(func(tx tallygate.Tx) error {
			return tx.InsertEvent(&tallygate.Event{Kind: tallygate.EventJobLog, Subject: string(want.ID), Data: []byte(`{"line":"half"}`), At: noon})
		})
		if want.Bytes += int64(len(`{"line":"half"}`)); before == 0 {
			f.Error("a job without an input")
		}
		if got := (&endedWalk{jobType: "x"}).on(f, time.Hour, 10); !slices.Equal(got, []tallygate.EndedJob{want}) {
			f.Errorf("found %v, want %v", got, want)
		}
	}},
	{"the walk finds what ends after all that it found was removed", func(f *fixture) {
		walk := endedWalk{jobType: "x"}
		for round := range 3 {
			var want []tallygate.EndedJob
			for range 3 {
				want = append(want, f.endJob("x", time.Duration(round)*time.Hour))
			}
			got := walk.on(f, 100*time.Hour, 10)
			if !slices.Equal(got, want) {
				f.Fatalf("round %d found %v, want %v", round, got, want)
			}
			f.update(func(tx tallygate.Tx) error {
				for _, j := range got {
					if err := tx.DeleteJob(j.ClientID, j.ID); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}},
}
