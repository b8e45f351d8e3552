package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestNodesTogetherDoWhatOneModelDoes takes a random history, each step at any of three node processes, and compares what
// they tell after each with a model of a few structs: what one node has answered holds at all of them at once. What needs
// the clock is in the queue's own model check, where time is a variable.
func TestNodesTogetherDoWhatOneModelDoes(t *testing.T) {
	t.Parallel()
	s := seed(t)
	h := &history{t: t, cluster: newCluster(t, 3, setup{}), random: rand.New(rand.NewPCG(s, 1))}
	h.worker = h.nodes[0].newWorker(t)
	for _, name := range []string{"x", "y"} {
		h.types = append(h.types, &pastType{name: name})
		h.define(h.types[len(h.types)-1])
	}
	for range 3 {
		c := h.nodes[0].newClient(t, "1", unbounded)
		h.clients = append(h.clients, &pastClient{customer: c, posted: 1_000_000, keys: map[string]*pastJob{}})
	}
	steps := []func(){
		h.submit, h.submit, h.submit, h.lease, h.lease, h.succeed, h.fail, h.release, h.report, h.cancel, h.credit,
		func() { h.define(pick(h, h.types)) },
	}
	for n := range either(300, 5000) {
		pick(h, steps)()
		h.compare()
		if t.Failed() {
			t.Fatalf("that was step %d", n+1)
		}
	}
	h.audit()
	t.Logf("%d jobs", len(h.jobs))
}

// history is the nodes and what they were told.
type history struct {
	*cluster
	t       *testing.T
	random  *rand.Rand
	worker  worker
	types   []*pastType
	clients []*pastClient
	jobs    []*pastJob
	credits int
}

type pastType struct {
	name         string
	base, page   int64 // of its price
	cancelCharge string
}

const pastPages = 10 // at most

func (p pastType) quote() int64 { return p.base + pastPages*p.page }

type pastClient struct {
	customer
	posted, held int64
	keys         map[string]*pastJob // by Idempotency-Key
}

type pastJob struct {
	id         string
	client     *pastClient
	jobType    *pastType
	price      pastType // when it was submitted
	status     string
	cancelling bool
	charged    int64
	token      string   // while it runs
	settledBy  string   // the token of the report that ended it
	tokens     []string // that were good once
}

func pick[T any](h *history, from []T) T { return from[h.random.IntN(len(from))] }

// any is the caller at any of the nodes.
func (h *history) any(c caller) caller { return c.at(pick(h, h.nodes)) }

// some is a job in the status, if there is one.
func (h *history) some(status string) (*pastJob, bool) {
	var fit []*pastJob
	for _, j := range h.jobs {
		if j.status == status {
			fit = append(fit, j)
		}
	}
	if len(fit) == 0 {
		return nil, false
	}
	return pick(h, fit), true
}

// define gives a type another price.
func (h *history) define(p *pastType) {
	p.base, p.page = h.random.Int64N(40_000), h.random.Int64N(10_000)
	p.cancelCharge = pick(h, []string{"none", "base", "hold"})
	h.any(h.nodes[0].operator(h.t)).put("/v1/job-types/"+p.name, object{
		"executor": object{"kind": "pull"}, "cancel_charge": p.cancelCharge, "lease": "10m", "attempt_timeout": "10m",
		"price": object{"base": decimal(p.base), "units": object{"page": object{"price": decimal(p.page), "max": pastPages}}},
	}).ok()
}

func decimal(millionths int64) string {
	return fmt.Sprintf("%d.%06d", millionths/1_000_000, millionths%1_000_000)
}

// submit submits a job, often under a key that was used before.
func (h *history) submit() {
	c, p := pick(h, h.clients), pick(h, h.types)
	var header []string
	key := pick(h, []string{"", "a", "b", "c", fmt.Sprint("job-", len(h.jobs))})
	if key != "" {
		header = []string{"Idempotency-Key", key}
	}
	if before := c.keys[key]; before != nil {
		a := h.any(c.caller).post("/v1/jobs", object{"type": before.jobType.name, "input": object{}}, header...).ok()
		if a.text("id") != before.id || a.header.Get("Idempotent-Replayed") != "true" {
			h.t.Errorf("%s: want a replay of %s", a, before.id)
		}
		return
	}
	a := h.any(c.caller).post("/v1/jobs", object{"type": p.name, "input": object{}}, header...)
	if c.posted-c.held < p.quote() {
		a.refused("INSUFFICIENT_BALANCE")
		return
	}
	j := &pastJob{id: a.ok().text("id"), client: c, jobType: p, price: *p, status: "queued"}
	c.held += p.quote()
	h.jobs = append(h.jobs, j)
	if key != "" {
		c.keys[key] = j
	}
}

func (h *history) lease() {
	p := pick(h, h.types)
	ready := 0
	for _, j := range h.jobs {
		if j.jobType == p && j.status == "queued" {
			ready++
		}
	}
	most, wait := 1+h.random.IntN(3), "0s"
	if ready > 0 {
		wait = "10s" // another node's news may be on its way
	}
	leases := h.any(h.worker.caller).post("/v1/worker/lease", object{"types": []string{p.name}, "max": most, "wait": wait}).ok().list("leases")
	if len(leases) > min(most, ready) || ready > 0 && len(leases) == 0 {
		h.t.Errorf("%d leases of at most %d, of %d jobs", len(leases), most, ready)
	}
	for _, l := range leases {
		at := slices.IndexFunc(h.jobs, func(j *pastJob) bool { return j.id == l.text("job.id") })
		if at < 0 || h.jobs[at].status != "queued" || h.jobs[at].jobType != p || slices.Contains(h.jobs[at].tokens, l.text("token")) {
			h.t.Fatalf("%s is not to be leased", l)
		}
		j := h.jobs[at]
		j.status, j.token = "running", l.text("token")
		j.tokens = append(j.tokens, j.token)
	}
}

func (h *history) say(j *pastJob, verb, token string, more object) answer {
	body := object{"token": token}
	for name, v := range more {
		body[name] = v
	}
	return h.any(h.worker.caller).post("/v1/worker/jobs/"+j.id+"/"+verb, body)
}

// ends settles a job in the model.
func (j *pastJob) ends(status string, charge int64) {
	j.status, j.token, j.settledBy, j.charged = status, "", j.token, charge
	j.client.posted -= charge
	j.client.held -= j.price.quote()
}

func (j *pastJob) cancelled() {
	j.ends("cancelled", map[string]int64{"none": 0, "base": j.price.base, "hold": j.price.quote()}[j.price.cancelCharge])
}

func (h *history) succeed() {
	if j, ok := h.some("running"); ok {
		pages := h.random.Int64N(pastPages + 3)
		h.say(j, "succeed", j.token, object{"result": "first", "units": object{"page": pages}}).ok()
		j.ends("succeeded", j.price.base+min(pages, pastPages)*j.price.page)
	}
}

func (h *history) fail() {
	if j, ok := h.some("running"); ok {
		h.say(j, "fail", j.token, object{"error": object{"message": "no"}, "retry": false}).ok()
		if j.cancelling {
			j.cancelled()
		} else {
			j.ends("failed", 0)
		}
	}
}

func (h *history) release() {
	if j, ok := h.some("running"); ok {
		h.say(j, "release", j.token, nil).ok()
		if j.cancelling {
			j.cancelled()
		} else {
			j.status, j.token = "queued", ""
		}
	}
}

// report says of a job what a worker might whose lease is over. Only what settled a job may be said again.
func (h *history) report() {
	if len(h.jobs) == 0 {
		return
	}
	j := pick(h, h.jobs)
	if len(j.tokens) == 0 || j.token == j.tokens[0] {
		return
	}
	h.say(j, "heartbeat", j.tokens[0], nil).refused("INVALID_REQUEST")
	again := h.say(j, "succeed", j.tokens[0], object{"result": "second"})
	if j.status == "succeeded" && j.settledBy == j.tokens[0] {
		again.ok()
	} else {
		again.refused("INVALID_REQUEST")
	}
}

func (h *history) cancel() {
	if len(h.jobs) == 0 {
		return
	}
	j := pick(h, h.jobs)
	h.any(j.client.caller).post("/v1/jobs/"+j.id+"/cancel", nil).ok()
	switch j.status {
	case "queued":
		j.cancelled()
	case "running":
		j.cancelling = true
	}
}

// credit tops a client up, at two nodes by one key.
func (h *history) credit() {
	c, amount := pick(h, h.clients), 1+h.random.Int64N(200_000)
	h.credits++
	for range 2 {
		h.any(h.nodes[0].operator(h.t)).post("/v1/clients/"+c.id+"/credits", object{"amount": decimal(amount)}, "Idempotency-Key", fmt.Sprint("credit-", h.credits)).ok()
	}
	c.posted += amount
}

// compare holds a node to the model: every client's money, and of the jobs the last and some others.
func (h *history) compare() {
	for i, c := range h.clients {
		b := customer{caller: h.any(c.caller)}.balance()
		if b.posted != c.posted || b.held != c.held || b.available != c.posted-c.held {
			h.t.Errorf("client %d has %+v, want %d and %d of it held", i, b, c.posted, c.held)
		}
	}
	if len(h.jobs) == 0 {
		return
	}
	for _, j := range []*pastJob{h.jobs[len(h.jobs)-1], pick(h, h.jobs), pick(h, h.jobs)} {
		a := h.any(j.client.caller).get("/v1/jobs/" + j.id).ok()
		if j.status == "succeeded" && a.text("result") != "first" {
			h.t.Errorf("%s: the result is another", a)
		}
		if a.text("status") != j.status || money(h.t, a.text("receipt.charged")) != j.charged || money(h.t, a.text("receipt.quoted")) != j.price.quote() {
			h.t.Errorf("%s: want it %s for %d of %d", a, j.status, j.charged, j.price.quote())
		}
	}
}
