package tallygate_test

import (
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestAJobsStatusFollowsFromWhereItStands(t *testing.T) {
	item := func(s tallygate.ItemState) *tallygate.QueueItem { return &tallygate.QueueItem{State: s} }
	for _, c := range []struct {
		name  string
		job   tallygate.Job
		want  tallygate.JobStatus
		ended bool
	}{
		{"ready", tallygate.Job{Item: item(tallygate.ItemReady)}, tallygate.JobQueued, false},
		{"waiting", tallygate.Job{Item: item(tallygate.ItemWaiting)}, tallygate.JobQueued, false},
		{"leased", tallygate.Job{Item: item(tallygate.ItemLeased)}, tallygate.JobRunning, false},
		{"succeeded", tallygate.Job{Outcome: &tallygate.Outcome{Status: tallygate.JobSucceeded}}, tallygate.JobSucceeded, true},
		{"failed", tallygate.Job{Outcome: &tallygate.Outcome{Status: tallygate.JobFailed}}, tallygate.JobFailed, true},
		{"cancelled", tallygate.Job{Outcome: &tallygate.Outcome{Status: tallygate.JobCancelled}}, tallygate.JobCancelled, true},
	} {
		if got := c.job.Status(); got != c.want || got.Ended() != c.ended {
			t.Errorf("%s: %s, ended %v", c.name, got, got.Ended())
		}
	}
}

func TestAJobsTimeLimitRunsFromItsFirstStart(t *testing.T) {
	for _, c := range []struct {
		name string
		item tallygate.QueueItem
		want time.Time
	}{
		{"before the first start", tallygate.QueueItem{TimeLimit: time.Hour}, time.Time{}},
		{"after it", tallygate.QueueItem{TimeLimit: time.Hour, StartedAt: noon}, noon.Add(time.Hour)},
		{"without a limit", tallygate.QueueItem{StartedAt: noon}, time.Time{}},
	} {
		if got := c.item.Deadline(); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
