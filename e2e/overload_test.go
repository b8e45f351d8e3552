package e2e

import (
	"net/http"
	"sync"
	"testing"
)

func TestMoreAtWorkThanAllowedIsShed(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "max_in_flight: 2\n"})
	op := s.operator(t)
	first, second := op.begin("POST", "/v1/clients", `{"name":"first"}`), op.begin("POST", "/v1/clients", `{"name":"second"}`)
	op.get("/v1/account").refused("SERVICE_UNAVAILABLE")
	op.get("/healthz").ok() // whoever restarts the process has to know that it lives
	first.finish().ok()
	until(t, "a request passes again", func() bool { return op.get("/v1/account").status == http.StatusOK })
	second.finish().ok()
}

func TestLongPollsDoNotCountAsWork(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "max_in_flight: 4\n"})
	s.define(t, metered, pullType())
	w, c := s.newWorker(t), s.newClient(t, "10")
	var polls sync.WaitGroup
	for range 20 {
		polls.Go(func() {
			until(t, "a poll got a job", func() bool { // more than 4 may arrive at once
				a, err := w.try("POST", "/v1/worker/lease", object{"types": []string{metered}, "wait": "1m"})
				if err != nil {
					t.Errorf("lease: %v", err)
				}
				return err != nil || a.status == http.StatusOK && len(a.list("leases")) == 1
			})
		})
	}
	for range 20 {
		until(t, "a submit passes", func() bool { return c.post("/v1/jobs", someJob).status == http.StatusOK })
	}
	polls.Wait()
}

// A process beside the server holds the database's write lock. What waits for it is answered once it can be, and new
// requests are turned away meanwhile instead of joining the wait.
func TestStalledWritesAreShedAndNothingIsLost(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{config: "shed_delay: 100ms\n"})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")

	release := holdWriteLock(s)
	waiting := make(chan answer, 1)
	go func() {
		a, err := c.try("POST", "/v1/jobs", someJob)
		if err != nil {
			t.Errorf("submit: %v", err)
		}
		waiting <- a
	}()
	shed := c.onceShed("/v1/account")
	release()
	shed.refused("SERVICE_UNAVAILABLE")
	id := (<-waiting).ok().text("id")
	until(t, "requests pass again", func() bool { return c.get("/v1/account").status == http.StatusOK })
	if jobs := c.pages("/v1/jobs"); len(jobs) != 1 || jobs[0].text("id") != id {
		t.Errorf("the jobs are %s, want the one that was acknowledged, %s", jobs, id)
	}
}

// onceShed asks until the server is too busy to answer.
func (c caller) onceShed(path string) (a answer) {
	c.t.Helper()
	until(c.t, path+" is shed", func() bool {
		a = c.get(path)
		return a.status == http.StatusServiceUnavailable
	})
	return a
}

// TestWriteThatWaitsTooLongIsNotMade: what was refused since the database was locked by another process is not there
// once it is free.
func TestWriteThatWaitsTooLongIsNotMade(t *testing.T) {
	t.Parallel()
	s := serve(t, setup{})
	s.define(t, metered, pullType())
	c := s.newClient(t, "10")
	release := holdWriteLock(s)
	a := c.post("/v1/jobs", someJob)
	release()
	if s.inFile() {
		a.refused("DATABASE_ERROR")
	} else {
		a.refused("SERVICE_UNAVAILABLE") // it is another node that makes it wait
	}
	id := c.submit(metered)
	if jobs := c.pages("/v1/jobs"); len(jobs) != 1 || jobs[0].text("id") != id {
		t.Errorf("the jobs are %s, want %s alone", jobs, id)
	}
}

// holdWriteLock takes what every write needs, until release.
func holdWriteLock(s *server) (release func()) {
	s.t.Helper()
	db := s.openDatabase()
	if s.inFile() {
		db.exec("BEGIN IMMEDIATE")
	} else {
		db.exec("BEGIN; LOCK TABLE counters IN EXCLUSIVE MODE")
	}
	return func() {
		s.t.Helper()
		db.exec("ROLLBACK")
		db.close()
	}
}
