package e2e

import (
	"bufio"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cutListeners cuts the connections by which nodes hear of each other, again and again, until restore is called.
func (c *cluster) cutListeners() (restore func()) {
	c.t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			select {
			case <-stop:
				return
			case <-again.C:
				c.ask("SELECT pg_terminate_backend(pid)" + backends + "AND application_name LIKE '% listener'")
			}
		}
	}()
	restore = func() {
		select {
		case <-stop:
		default:
			close(stop)
		}
		<-stopped
	}
	c.t.Cleanup(restore)
	until(c.t, "the nodes hear nothing", func() bool {
		for _, s := range c.nodes {
			if s.standing().text("listener.status") != "polling" {
				return false
			}
		}
		return true
	})
	return restore
}

// told is how long after something was done at one node somebody at another knew of it.
type told struct {
	what string
	took []time.Duration
}

func (w *told) since(done time.Time) { w.took = append(w.took, time.Since(done)) }

// usually makes sure of the median, which one hiccup of a busy machine does not move.
func (w *told) usually(t *testing.T, most time.Duration) { w.within(t, len(w.took)/2, most) }

// soon makes sure, on a machine that has other things to do, that the news were told: of ten that the poll finds, which
// comes once a second, fewer than three are found within a quarter of it.
func (w *told) soon(t *testing.T) { w.within(t, len(w.took)/4, 250*time.Millisecond) }

func (w *told) within(t *testing.T, i int, most time.Duration) {
	t.Helper()
	slices.Sort(w.took)
	t.Logf("%s: %v at the median, %v at most", w.what, w.took[len(w.took)/2], w.took[len(w.took)-1])
	if w.took[i] > most {
		t.Errorf("%s: number %d of %d took %v, want less than %v", w.what, i+1, len(w.took), w.took[i], most)
	}
}

// TestWaitsEndOnAnyNode: what is submitted on one node, waited for on another and done through a third is known to who
// waits as soon as it is settled.
func TestWaitsEndOnAnyNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, setup{})
	c.settled()
	submits, waits, works := c.nodes[0], c.nodes[1], c.nodes[2]
	submits.define(t, metered, pullType())
	client, w := submits.newClient(t, "1000", unbounded), worker{submits.newWorker(t).at(works)}
	started, submit, wait := &told{what: "the start of a job"}, &told{what: "POST /v1/jobs?wait"}, &told{what: "GET /v1/jobs/{id}?wait"}
	stream, result := &told{what: "the stream of events"}, &told{what: "POST /v1/run"}
	for range either(10, 200) {
		leased := w.leases(metered)
		submitted := until200(func() answer {
			return client.post("/v1/jobs?wait=20s", object{"type": metered, "input": object{}}).ended("succeeded")
		})
		l := <-leased
		feed := client.at(waits).follow(t, l.job)
		waited := until200(func() answer { return client.at(waits).get("/v1/jobs/" + l.job + "?wait=20s").ended("succeeded") })
		w.succeed(l, 1).ok()
		settled := time.Now()
		submit.took = append(submit.took, (<-submitted).Sub(settled))
		wait.took = append(wait.took, (<-waited).Sub(settled))
		stream.took = append(stream.took, (<-feed).Sub(settled))

		leased = w.leases(metered)
		ran := until200(func() answer { return client.at(waits).post("/v1/run/"+metered+"?wait=20s", object{}) })
		w.succeed(<-leased, 1).ok()
		settled = time.Now()
		result.took = append(result.took, (<-ran).Sub(settled))

		leased = w.leases(metered)
		client.submit(metered)
		done := time.Now()
		l = <-leased
		started.since(done)
		w.succeed(l, 1).ok()
		if t.Failed() {
			return
		}
	}
	for _, what := range []*told{started, submit, wait, stream, result} {
		if long() {
			what.usually(t, 50*time.Millisecond)
		} else {
			what.soon(t)
		}
	}
	c.audit()
}

// leases waits for a job of the type in the background. Where that fails the test, nothing comes.
func (w worker) leases(jobType string) <-chan lease {
	got := make(chan lease, 1)
	go func() {
		defer close(got)
		got <- w.lease(jobType)
	}()
	return got
}

// until200 asks in the background and tells when the answer came. Where it was no success, the test fails and nothing
// comes.
func until200(ask func() answer) <-chan time.Time {
	came := make(chan time.Time, 1)
	go func() {
		defer close(came)
		ask().ok()
		came <- time.Now()
	}()
	return came
}

// ended makes sure of how a job ended.
func (a answer) ended(status string) answer {
	a.t.Helper()
	if a.ok().text("status") != status {
		a.t.Errorf("%s: want it %s", a, status)
	}
	return a
}

// follow reads the job's events, and tells when the stream has ended with the job.
func (c caller) follow(t *testing.T, job string) <-chan time.Time {
	t.Helper()
	r, err := c.request(http.MethodGet, "/v1/jobs/"+job+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.server.web.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan time.Time, 1)
	go func() {
		defer response.Body.Close()
		last := ""
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				last = data
			}
		}
		end <- time.Now()
		if !strings.Contains(last, `"job.succeeded"`) {
			t.Errorf("the stream of job %s ended with %q, %v", job, last, lines.Err())
		}
	}()
	return end
}

// TestJobsStartWithinThePollOnNodesWithoutListeners: what nobody is told of is found by who asks.
func TestJobsStartWithinThePollOnNodesWithoutListeners(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, setup{})
	c.nodes[0].define(t, metered, pullType())
	client, w := c.nodes[0].newClient(t, "10"), worker{c.nodes[0].newWorker(t).at(c.nodes[1])}
	restore := c.cutListeners()
	started, ended := &told{what: "the start of a job, without listeners"}, &told{what: "GET /v1/jobs/{id}?wait, without listeners"}
	for range 5 {
		leased := w.leases(metered)
		client.submit(metered)
		done := time.Now()
		l := <-leased
		started.since(done)
		waited := until200(func() answer { return client.get("/v1/jobs/" + l.job + "?wait=20s").ended("succeeded") })
		w.succeed(l, 1).ok()
		settled := time.Now()
		ended.took = append(ended.took, (<-waited).Sub(settled))
	}
	started.usually(t, either(5*time.Second, 2*time.Second))
	ended.usually(t, either(5*time.Second, 2*time.Second))
	restore()
	c.settled()
	c.audit()
}

func TestCancelOnOneNodeReachesTheWorkerOnAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, setup{})
	c.nodes[0].define(t, metered, pullType(object{"cancel_charge": "base"}))
	client, w := c.nodes[0].newClient(t, "10"), worker{c.nodes[0].newWorker(t).at(c.nodes[1])}
	id := client.submit(metered)
	l := w.lease(metered)
	beat := func() bool {
		return w.post("/v1/worker/jobs/"+id+"/heartbeat", object{"token": l.token}).ok().at("cancel_requested").v == true
	}
	if beat() {
		t.Error("the job is to be cancelled before anybody asked for it")
	}
	client.post("/v1/jobs/"+id+"/cancel", nil).ok()
	if !beat() {
		t.Error("the next heartbeat does not tell of the cancellation")
	}
	w.fail(l, true).ok()
	if job := client.get("/v1/jobs/" + id).ok(); job.text("status") != "cancelled" || job.text("receipt.charged") != "0.01" {
		t.Errorf("%s: want it cancelled, for the base price", job)
	}
	c.audit()
}

// TestJobTypeDefinedAnewIsFollowedOnEveryNode: no job is accepted by a definition that is no more, wherever it comes; what
// is refused and what is shown follow within the poll.
func TestJobTypeDefinedAnewIsFollowedOnEveryNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, setup{})
	one, other := c.nodes[0], c.nodes[1]
	one.define(t, metered, pullType())
	client := one.newClient(t, "10000", unbounded).at(other)
	client.submit(metered)
	submission := object{"type": metered, "input": object{}}
	followed := &told{what: "a job type defined anew"}
	for i := range either(5, 50) {
		needs := "field" + strconv.Itoa(i)
		one.define(t, metered, pullType(object{"input_schema": object{"type": "object", "required": []string{needs}}}))
		client.post("/v1/jobs", submission).refused("MISSING_PARAMETER").mentions(needs)
		price := strconv.Itoa(i+1) + ".00"
		one.define(t, metered, object{"price": object{"base": price}, "executor": object{"kind": "pull"}})
		defined := time.Now()
		until(t, "the other node accepts what is right now", func() bool {
			a := client.post("/v1/jobs", submission)
			if a.status != http.StatusOK {
				a.refused("MISSING_PARAMETER").mentions(needs)
				return false
			}
			if held := a.text("receipt.held"); held != price {
				t.Errorf("%s: want the new price of %s", a, price)
			}
			return true
		})
		until(t, "the other node shows the new price", func() bool {
			return client.get("/v1/job-types/"+metered).ok().text("price.base") == price
		})
		followed.since(defined)
	}
	followed.usually(t, either(5*time.Second, 2*time.Second))
	one.define(t, "gone", pullType())
	client.get("/v1/job-types/gone").ok()
	one.operator(t).call(http.MethodDelete, "/v1/job-types/gone", nil).ok()
	client.post("/v1/jobs", object{"type": "gone", "input": object{}}).refused("RESOURCE_NOT_FOUND")
	c.audit()
}
