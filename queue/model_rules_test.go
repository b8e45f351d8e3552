package queue_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/tallygate/tallygate"
)

// The model is what the queue promises, without stores, batches or caches: a few structs and the rules over them.

const (
	modelMaxLosses  = 3
	modelFirstDelay = time.Second
	modelLease      = 10 * time.Second
	modelAttempt    = 25 * time.Second
	modelLimit      = 60 * time.Second
)

type model struct {
	now     time.Time
	clients []*modelClient
	types   map[string]*modelType
	jobs    []*modelJob // in the order of their submits, which is that of their IDs
	keys    map[modelKey]modelRecord
}

type modelKey struct {
	client tallygate.ClientID
	key    string
}

type modelRecord struct {
	hash byte
	jobs []tallygate.JobID
}

type modelClient struct {
	id              tallygate.ClientID
	posted, held    tallygate.Money
	floor           tallygate.Money
	suspended       bool
	mostQueued      int64
	mostRunning     int64 // 0: no limit
	queued, running int64
}

type modelType struct {
	name        string
	prices      []tallygate.Price // by version, from 1
	most        int64             // running; 0: no limit
	maxAttempts int64
	running     int64
}

func (t *modelType) price() tallygate.Price { return t.prices[len(t.prices)-1] }

type modelJob struct {
	id                  tallygate.JobID
	client              *modelClient
	jobType             *modelType
	priority            int64
	price               tallygate.Price
	maxAttempts         int64
	status              tallygate.JobStatus
	waiting             bool      // queued, but not before at
	at                  time.Time // waiting: until when; running: the end of the lease
	started, attemptEnd time.Time
	attempts            int64
	failures, losses    int64
	cancelling          bool
	token               string   // of the current lease
	tokens              []string // every one it ever had
	settledBy           string   // the token of the report that settled it
	charged             tallygate.Money
}

func (j *modelJob) hold() tallygate.Money { return j.price.Quote() }

// over reports whether the job's time limit has passed.
func (m *model) over(j *modelJob) bool {
	return !j.started.IsZero() && !m.now.Before(j.started.Add(modelLimit))
}

// ready reports whether the job may be leased, its client's and type's limits apart.
func (m *model) ready(j *modelJob) bool {
	return j.status == tallygate.JobQueued && !j.waiting && !m.over(j)
}

// room reports whether the limits let the job run.
func (j *modelJob) room() bool {
	return !j.client.suspended && (j.client.mostRunning == 0 || j.client.running < j.client.mostRunning) &&
		(j.jobType.most == 0 || j.jobType.running < j.jobType.most)
}

// first reports whether no ready job of the same client is more urgent, among those whose type has room.
func (m *model) first(j *modelJob, types []string) bool {
	for _, other := range m.jobs {
		if other != j && other.client == j.client && slices.Contains(types, other.jobType.name) && m.ready(other) && other.room() &&
			cmp.Or(cmp.Compare(other.priority, j.priority), cmp.Compare(j.id, other.id)) > 0 {
			return false
		}
	}
	return true
}

// start begins an attempt and returns when its lease ends.
func (m *model) start(j *modelJob, token string) time.Time {
	if j.started.IsZero() {
		j.started = m.now
	}
	j.status, j.token = tallygate.JobRunning, token
	j.tokens = append(j.tokens, token)
	j.attempts++
	j.attemptEnd = earlier(m.now.Add(modelAttempt), j.started.Add(modelLimit))
	j.client.queued--
	j.client.running++
	j.jobType.running++
	m.renew(j)
	return j.at
}

func (m *model) renew(j *modelJob) { j.at = earlier(m.now.Add(modelLease), j.attemptEnd) }

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// putBack ends the lease without ending the job.
func (m *model) putBack(j *modelJob, at time.Time) {
	j.status, j.at, j.waiting, j.token = tallygate.JobQueued, at, at.After(m.now), ""
	j.client.running--
	j.client.queued++
	j.jobType.running--
}

// end ends the job and takes the charge.
func (m *model) end(j *modelJob, status tallygate.JobStatus, charge tallygate.Money, settledBy string) {
	if j.status == tallygate.JobRunning {
		j.client.running--
		j.jobType.running--
	} else {
		j.client.queued--
	}
	j.status, j.charged, j.settledBy, j.token = status, charge, settledBy, ""
	j.client.posted -= charge
	j.client.held -= j.hold()
}

func (m *model) succeed(j *modelJob, used map[string]int64) {
	m.end(j, tallygate.JobSucceeded, j.price.Charge(used), j.token)
}

func (m *model) cancelled(j *modelJob, settledBy string) {
	charge := tallygate.Money(0)
	switch j.price.CancelCharge {
	case tallygate.CancelChargeBase:
		charge = j.price.Base
	case tallygate.CancelChargeHold:
		charge = j.hold()
	}
	m.end(j, tallygate.JobCancelled, charge, settledBy)
}

func (m *model) release(j *modelJob) {
	if j.cancelling {
		m.cancelled(j, j.token)
		return
	}
	j.attempts--
	m.putBack(j, m.now)
}

func (m *model) fail(j *modelJob, final bool, after time.Duration) {
	if j.cancelling {
		m.cancelled(j, j.token)
		return
	}
	m.failed(j, final, after, j.token)
}

func (m *model) failed(j *modelJob, final bool, after time.Duration, settledBy string) {
	j.failures++
	again := m.now.Add(max(modelFirstDelay<<(j.failures-1), after))
	if final || j.failures >= j.maxAttempts || !again.Before(j.started.Add(modelLimit)) {
		m.end(j, tallygate.JobFailed, 0, settledBy)
		return
	}
	m.putBack(j, again)
}

// cancel asks for the job's end.
func (m *model) cancel(j *modelJob, abandon bool) {
	switch {
	case j.status.Ended():
	case abandon:
		m.end(j, tallygate.JobCancelled, 0, "")
	case j.status == tallygate.JobRunning:
		j.cancelling = true
	default:
		m.cancelled(j, "")
	}
}

// sweep does what the clock asks for.
func (m *model) sweep() {
	for _, j := range m.jobs {
		running := j.status == tallygate.JobRunning
		due := (running || j.status == tallygate.JobQueued && j.waiting) && !j.at.After(m.now)
		switch {
		case !due && !(j.status == tallygate.JobQueued && !j.waiting && m.over(j)):
		case running && j.cancelling:
			m.cancelled(j, "")
		case m.over(j):
			m.end(j, tallygate.JobFailed, 0, "")
		case running && !m.now.Before(j.attemptEnd):
			m.failed(j, false, 0, "")
		case running:
			if j.losses++; j.losses >= modelMaxLosses {
				m.end(j, tallygate.JobFailed, 0, "")
			} else {
				m.putBack(j, m.now)
			}
		default:
			j.waiting = false
		}
	}
}

// types lists the names of the types.
func (m *model) typeNames() []string { return slices.Sorted(maps.Keys(m.types)) }
