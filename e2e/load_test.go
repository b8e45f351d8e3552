package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// load is what clients and workers do to servers that are killed under them, and the record of what they were told.
// Nothing in it waits for time: it goes as fast as it is answered.
type load struct {
	t       *testing.T
	servers []*server // over one database; requests go to each in turn
	turn    atomic.Uint64
	op      caller
	worker  worker
	clients []customer

	served atomic.Int64 // requests that succeeded
	events atomic.Int64 // requests begun and answers received
	target atomic.Int64 // of events; then due is told
	due    chan struct{}
	still  sync.RWMutex // held by whoever wants the load to stand still; each request holds it shared

	mu       sync.Mutex
	up       chan struct{} // closed while the server is there
	jobs     map[string]*known
	touched  map[string]bool // jobs of which something was heard since the last look
	open     int             // jobs that were acknowledged and not heard to have ended
	numbers  map[string]string
	unknown  map[string]bool // numbers of submits whose outcome was never heard
	refused  map[string]bool // numbers of submits that were refused
	credited map[string]int64
	topUps   map[string]bool
	held     map[string][]*holding // of each job, as the workers were told
}

// known is what the load was told of a job.
type known struct {
	client string
	number string
	status string // once it was heard to have ended
	charge int64
}

// seen is a job as an answer shows it.
type seen struct {
	ID       string            `json:"id"`
	ClientID string            `json:"client_id"`
	Status   string            `json:"status"`
	Metadata map[string]string `json:"metadata"`
	Receipt  struct {
		Held    string `json:"held"`
		Charged string `json:"charged"`
	} `json:"receipt"`
}

func (j seen) ended() bool { return j.Status != "queued" && j.Status != "running" }

// loaded is the job type of the load. Its leases are short, so that those that a crash loses come back soon.
const (
	loaded      = "loaded"
	loadedLease = 2 * time.Second
)

func newLoad(t *testing.T, servers ...*server) *load {
	t.Helper()
	s := servers[0]
	s.define(t, loaded, pullType(object{"max_attempts": 3, "lease": loadedLease.String(), "cancel_charge": "base"}))
	l := &load{
		t: t, servers: servers, op: s.operator(t), worker: s.newWorker(t), due: make(chan struct{}, 1), up: make(chan struct{}),
		jobs: map[string]*known{}, touched: map[string]bool{}, numbers: map[string]string{}, unknown: map[string]bool{},
		refused: map[string]bool{}, credited: map[string]int64{}, topUps: map[string]bool{}, held: map[string][]*holding{},
	}
	close(l.up)
	for range 3 {
		c := s.newClient(t, "1000000", object{"limits": object{"requests_per_second": 100_000, "burst": 100_000, "running_jobs": 10_000}})
		l.clients = append(l.clients, c)
		l.credited[c.id] = 1_000_000_000_000
	}
	return l
}

// down has whoever fails wait; back lets them go on.
func (l *load) down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = make(chan struct{})
}

func (l *load) back() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.up)
}

// await returns once the server is there.
func (l *load) await() {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	<-up
}

func (l *load) event() {
	if l.events.Add(1) == l.target.Load() {
		l.due <- struct{}{}
	}
}

// through is the caller at the server whose turn it is.
func (l *load) through(c caller) caller {
	c.server = l.servers[l.turn.Add(1)%uint64(len(l.servers))]
	return c
}

// once makes one request. ok is false where no answer came.
func (l *load) once(c caller, path string, body any, header ...string) (a answer, ok bool) {
	l.event()
	l.still.RLock()
	a, err := l.through(c).try(http.MethodPost, path, body, header...)
	l.still.RUnlock()
	if err != nil {
		l.await()
		return a, false
	}
	l.event()
	switch code := a.header.Get("X-Error-Code"); {
	case a.status == http.StatusOK:
		l.served.Add(1)
	case a.status == http.StatusBadRequest:
	case code == "DATABASE_ERROR", code == "SERVICE_UNAVAILABLE":
		l.await()
	default:
		l.t.Errorf("%s", a)
	}
	return a, true
}

// untilKnown repeats a request that may be repeated until its outcome is known.
func (l *load) untilKnown(c caller, path string, body any, header ...string) answer {
	for {
		a, ok := l.once(c, path, body, header...)
		if ok && a.status != http.StatusServiceUnavailable && a.status != http.StatusInternalServerError {
			return a
		}
	}
}

// into decodes an answer that the test depends on.
func (l *load) into(a answer, v any) {
	if err := json.Unmarshal(a.body, v); err != nil {
		l.t.Errorf("%s: %v", a, err)
	}
}

// heard takes down what an answer says of a job. What was heard once of a job's end holds for ever.
func (l *load) heard(j seen) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.jobs[j.ID]
	if k == nil {
		k = &known{client: j.ClientID, number: j.Metadata["number"]}
		l.jobs[j.ID] = k
		l.open++
		if other, ok := l.numbers[k.number]; ok {
			l.t.Errorf("submit %s made the jobs %s and %s", k.number, other, j.ID)
		}
		l.numbers[k.number] = j.ID
	}
	l.touched[j.ID] = true
	if j.ended() {
		l.ends(j.ID, k, j.Status, money(l.t, j.Receipt.Charged))
	}
}

// ends takes down a job's end, with l.mu held.
func (l *load) ends(id string, k *known, status string, charge int64) {
	if k.status == "" {
		k.status, k.charge = status, charge
		l.open--
		l.touched[id] = true
	} else if k.status != status || k.charge != charge {
		l.t.Errorf("job %s had %s for %d, now it has %s for %d", id, k.status, k.charge, status, charge)
	}
}

// submits is one thread of a client: it submits, tops up and cancels until stop is closed.
func (l *load) submits(c customer, name string, random *rand.Rand, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		number := fmt.Sprintf("%s-%d", name, i)
		l.mu.Lock()
		full := l.open > 200
		l.mu.Unlock()
		switch dice := random.IntN(100); {
		case full || dice < 15:
			l.cancels(c)
		case dice < 25:
			l.topsUp(c, number, random)
		case dice < 40:
			l.submitsBatch(c, number, 1+random.IntN(8))
		case dice < 70:
			var j seen
			if a := l.untilKnown(c.caller, "/v1/jobs", submission(number), "Idempotency-Key", number); a.status == http.StatusOK {
				l.into(a, &j)
				l.heard(j)
			} else {
				l.t.Errorf("%s", a)
			}
		default:
			l.submitsOnce(c, number)
		}
	}
}

func submission(number string) object {
	return object{"type": loaded, "input": object{"number": number}, "metadata": object{"number": number}}
}

// submitsOnce submits without an Idempotency-Key, so that an unknown outcome stays unknown.
func (l *load) submitsOnce(c customer, number string) {
	a, ok := l.once(c.caller, "/v1/jobs", submission(number))
	if ok && a.status == http.StatusOK {
		var j seen
		l.into(a, &j)
		l.heard(j)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ok {
		l.refused[number] = true
	} else {
		l.unknown[number] = true
	}
}

func (l *load) submitsBatch(c customer, number string, size int) {
	var jobs []object
	for i := range size {
		jobs = append(jobs, submission(fmt.Sprintf("%s-%d", number, i)))
	}
	a := l.untilKnown(c.caller, "/v1/jobs/batch", object{"jobs": jobs}, "Idempotency-Key", number)
	if a.status != http.StatusOK {
		l.t.Errorf("%s", a)
		return
	}
	var made struct{ Data []seen }
	l.into(a, &made)
	if len(made.Data) != size {
		l.t.Errorf("a batch of %d made %d jobs", size, len(made.Data))
	}
	for _, j := range made.Data {
		l.heard(j)
	}
}

func (l *load) topsUp(c customer, number string, random *rand.Rand) {
	amount := 1 + random.Int64N(1_000_000)
	a := l.untilKnown(l.op, "/v1/clients/"+c.id+"/credits",
		object{"amount": fmt.Sprintf("%d.%06d", amount/1_000_000, amount%1_000_000), "note": number}, "Idempotency-Key", number)
	if a.status != http.StatusOK {
		l.t.Errorf("%s", a)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.credited[c.id] += amount
	l.topUps[number] = true
}

// cancels cancels some job of the client's that was not heard to have ended.
func (l *load) cancels(c customer) {
	id := ""
	l.mu.Lock()
	for other, k := range l.jobs { // in no order
		if k.client == c.id && k.status == "" {
			id = other
			break
		}
	}
	l.mu.Unlock()
	if id == "" {
		return
	}
	var j seen
	if a := l.untilKnown(c.caller, "/v1/jobs/"+id+"/cancel", nil); a.status == http.StatusOK {
		l.into(a, &j)
		l.heard(j)
	} else {
		l.t.Errorf("%s", a)
	}
}

// report is what a worker says of a lease, and what that settles.
type report struct {
	body    object
	units   int64
	holding *holding
}

// works is one thread of a worker: it leases, beats and reports until stop is closed.
func (l *load) works(random *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		a, ok := l.once(l.worker.caller, "/v1/worker/lease", object{"types": []string{loaded}, "max": 1 + random.IntN(10), "wait": "200ms"})
		if !ok || a.status != http.StatusOK {
			continue // what may have been leased comes back
		}
		var got struct {
			Leases []struct {
				Token   string
				Expires time.Time `json:"expires_at"`
				Job     seen
			}
		}
		l.into(a, &got)
		var batch []report
		for _, lease := range got.Leases {
			l.heard(lease.Job)
			h := l.holds(lease.Job.ID, lease.Expires)
			if random.IntN(5) == 0 {
				l.beats(lease.Job.ID, lease.Token, h)
			}
			if r, ok := reportOn(lease.Job.ID, lease.Token, random); ok {
				r.holding = h
				batch = append(batch, r)
			}
		}
		if random.IntN(2) == 0 {
			l.reports(batch)
			continue
		}
		for r := range slices.Chunk(batch, 1) {
			l.reports(r)
		}
	}
}

// reportOn decides how an attempt goes; some workers say nothing.
func reportOn(job, token string, random *rand.Rand) (r report, ok bool) {
	r.body = object{"job_id": job, "token": token}
	switch dice := random.IntN(100); {
	case dice < 2:
		return r, false
	case dice < 7:
		r.body["outcome"] = "released"
	case dice < 17:
		r.body["outcome"], r.body["retry"] = "failed", dice < 12
		r.body["error"] = object{"message": "it did not work"}
	default:
		r.units = random.Int64N(120)
		r.body["outcome"], r.body["result"], r.body["units"] = "succeeded", object{"words": 2}, object{"page": r.units}
	}
	return r, true
}

// reports says a batch until it is known what became of it, and takes down what was counted.
func (l *load) reports(batch []report) {
	if len(batch) == 0 {
		return
	}
	var bodies []object
	for _, r := range batch {
		bodies = append(bodies, r.body)
		r.holding.reports(time.Now())
	}
	a := l.untilKnown(l.worker.caller, "/v1/worker/report", object{"reports": bodies})
	var said struct {
		Results []struct {
			OK    bool
			Error struct{ Code string }
		}
	}
	l.into(a, &said)
	if a.status != http.StatusOK || len(said.Results) != len(batch) {
		l.t.Errorf("%s", a)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range batch {
		if !said.Results[i].OK {
			if code := said.Results[i].Error.Code; code != "INVALID_REQUEST" {
				l.t.Errorf("a report was refused with %s", code)
			}
			continue // the lease was lost, or the job was cancelled
		}
		id := r.body["job_id"].(string)
		if r.body["outcome"] == "succeeded" {
			l.ends(id, l.jobs[id], "succeeded", meteredBase+meteredPage*min(r.units, 100))
		}
	}
}
