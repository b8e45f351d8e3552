package e2e

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/testserver"
)

// outage is how long the database is away.
func outage() time.Duration { return either(2*time.Second, 20*time.Second) }

// TestOutageOfPostgresIsToldAsSuch: while the database is away nobody is let in, and nobody is told that their key is
// wrong or that a thing is not there; then the load goes on, and nothing that was acknowledged is lost.
func TestOutageOfPostgresIsToldAsSuch(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, testserver.PostgresOptions{})
	c := serveCluster(t, pg.Database(t), 3, lenient)
	op := c.nodes[0].operator(t)
	unknown := prepare(t, setup{}).operatorKey
	b := c.beginLoad()
	id := b.load.clients[0].newestJob()
	c.faults(b, 1, func() {
		b.down()
		pg.Stop("fast")
		over := time.Now().Add(outage())
		var callers sync.WaitGroup
		for _, s := range c.nodes {
			client, w := b.load.clients[0].at(s), b.worker.at(s)
			for _, ask := range []func() (answer, error){
				func() (answer, error) { return client.try(http.MethodGet, "/v1/account", nil) },
				func() (answer, error) { return client.try(http.MethodGet, "/v1/jobs/"+id, nil) },
				func() (answer, error) { return client.try(http.MethodPost, "/v1/jobs", submission("away")) },
				func() (answer, error) {
					return client.try(http.MethodPost, "/v1/jobs", submission("away"), "Idempotency-Key", "away")
				},
				func() (answer, error) { return client.try(http.MethodPost, "/v1/run/"+loaded+"?wait=1s", object{}) },
				func() (answer, error) {
					return w.try(http.MethodPost, "/v1/worker/lease", object{"types": []string{loaded}, "wait": "10s"})
				},
				func() (answer, error) { return op.at(s).try(http.MethodGet, "/v1/clients", nil) },
				func() (answer, error) { return s.as(t, unknown).try(http.MethodGet, "/v1/account", nil) },
			} {
				callers.Go(func() {
					pace := time.NewTicker(50 * time.Millisecond)
					defer pace.Stop()
					for n := 0; n == 0 || time.Now().Before(over); n++ {
						<-pace.C
						a, err := ask()
						if code := a.header.Get("X-Error-Code"); err != nil || (code != "DATABASE_ERROR" && code != "SERVICE_UNAVAILABLE") {
							t.Errorf("without a database: %s, %v", a, err)
							return
						}
					}
				})
			}
			s.as(t, "").get("/healthz").ok()
			s.as(t, "nonsense").get("/v1/account").refused("AUTHENTICATION_FAILED")
		}
		callers.Wait()
		pg.Start()
		b.back()
	})
	c.judge(b)
}

// TestNodesReplayNothingThatTheStandbyLacks: a commit that gave up waiting for its standby is on the primary's disk alone.
// Whoever asks again, at any node, is told of it only once it is on both.
func TestNodesReplayNothingThatTheStandbyLacks(t *testing.T) {
	t.Parallel()
	primary := testserver.NewPostgres(t, testserver.PostgresOptions{})
	database := primary.Database(t)
	standby := primary.Standby(t, true)
	c := serveCluster(t, database, 2, setup{})
	c.nodes[0].define(t, metered, pullType(object{"limits": object{"requests_per_second": 1000, "burst": 1000}}))
	client := c.nodes[0].newClient(t, "10")
	client.submit(metered)
	standby.Stop("fast")
	submit := func(s *server) (answer, error) {
		return client.at(s).try(http.MethodPost, "/v1/jobs", someJob, "Idempotency-Key", "once")
	}
	var acknowledged atomic.Bool
	var first sync.WaitGroup
	first.Go(func() {
		a, err := submit(c.nodes[0])
		if err != nil {
			t.Error(err)
		}
		acknowledged.Store(a.status == http.StatusOK)
	})
	until(t, "the submit is there for everyone, on the primary alone", func() bool {
		c.ask(`SELECT pg_cancel_backend(pid)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
		jobs, ok := c.ask(`SELECT count(*)::text FROM jobs`)
		return ok && jobs[0] == "2"
	})
	a, err := submit(c.nodes[1])
	if err != nil || a.status == http.StatusOK {
		t.Errorf("a replay without the standby: %s, %v", a, err)
	}
	if acknowledged.Load() {
		t.Error("a submit without the standby was answered 200")
	}
	standby.Start()
	first.Wait()
	until(t, "the submit is replayed", func() bool {
		a, err = submit(c.nodes[1])
		return err == nil && a.status == http.StatusOK
	})
	if jobs := client.jobsSoFar(); jobs != 2 {
		t.Errorf("%d jobs, want 2", jobs)
	}
	c.audit()
}

// TestWithoutTheStandbyPostgresAcknowledgesNothing: a submit whose commit waits for a standby that is away is answered
// when it is back, or, where that takes long, told that nobody knows: never 200, never nothing.
func TestWithoutTheStandbyPostgresAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	primary := testserver.NewPostgres(t, testserver.PostgresOptions{})
	database := primary.Database(t)
	standby := primary.Standby(t, true)
	c := serveCluster(t, database, 2, setup{})
	c.nodes[0].define(t, metered, pullType())
	client := c.nodes[0].newClient(t, "10")
	client.post("/v1/jobs", someJob).ok()
	standby.Stop("fast")
	type told struct {
		answer answer
		err    error
	}
	answers := make(chan told, len(c.nodes))
	for _, s := range c.nodes {
		go func() {
			a, err := client.at(s).try(http.MethodPost, "/v1/jobs", someJob)
			answers <- told{a, err}
		}()
	}
	until(t, "a commit waits for the standby", func() bool {
		waiting, ok := c.ask(`SELECT pid::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
		return ok && len(waiting) > 0
	})
	if long() {
		<-time.After(100 * time.Second) // more than any submit may take
	}
	if told := len(answers); long() != (told == len(c.nodes)) || !long() && told > 0 {
		t.Errorf("%d of %d are answered", told, len(c.nodes))
	}
	standby.Start()
	paid := 1
	for range c.nodes {
		switch got := <-answers; {
		case got.err != nil:
			t.Error(got.err)
		case !long() && got.answer.status == http.StatusOK:
			paid++
		default:
			if code := got.answer.header.Get("X-Error-Code"); code != "DATABASE_ERROR" && code != "SERVICE_UNAVAILABLE" {
				t.Errorf("without the standby: %s", got.answer)
			}
		}
	}
	until(t, "writes get through again", func() bool {
		a, err := client.try(http.MethodPost, "/v1/jobs", someJob)
		return err == nil && a.status == http.StatusOK
	})
	if jobs := client.jobsSoFar(); jobs < paid+1 {
		t.Errorf("%d jobs, and %d were acknowledged", jobs, paid+1)
	}
	c.audit()
}

// newestJob waits until the client has a job, and returns its ID.
func (c customer) newestJob() (id string) {
	c.t.Helper()
	until(c.t, "there is a job", func() bool {
		for _, job := range c.get("/v1/jobs?limit=1").ok().list("data") {
			id = job.text("id")
		}
		return id != ""
	})
	return id
}

// TestPrintedRetryFunctionOutlivesAnOutageOfPostgres: who calls while the database comes back gets through, and pays
// once.
func TestPrintedRetryFunctionOutlivesAnOutageOfPostgres(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		const callers, times = 10, 20
		pg := testserver.NewPostgres(t, testserver.PostgresOptions{})
		c := serveCluster(t, pg.Database(t), 2, setup{})
		c.nodes[0].define(t, metered, pullType())
		client := c.nodes[0].newClient(t, "1000", unbounded)
		var jobs, failed []string
		done := make(chan struct{})
		go func() {
			defer close(done) // also where a call has failed the test
			jobs, failed = l.tries(t, c.nodes[1].url, client, callers, times)
		}()
		away := time.Duration(0)
		for _, end := range []func(){pg.Restart, func() { pg.Kill(); pg.Start() }} {
			some := min(client.jobsSoFar()+callers*times/4, callers*times*3/4)
			until(t, "some more jobs are there", func() bool {
				select {
				case <-done: // calls have failed
					return true
				default:
					return client.jobsSoFar() >= some
				}
			})
			began := time.Now()
			end()
			until(t, "the node has the database again", func() bool { return c.nodes[1].operator(t).get("/v1/clients").status == http.StatusOK })
			away = max(away, time.Since(began))
		}
		<-done
		if len(failed) > 0 && away < 3*time.Second { // as long as the function goes on
			t.Errorf("%d calls failed for good although the database was away for %v, the first: %s", len(failed), away, failed[0])
		}
		pg.Stop("fast")
		<-time.After(outage())
		pg.Start()
		paidOnce(t, client, append(jobs, l.submits(t, c.nodes[0].url, client, callers, 2)...), len(failed))
		c.audit()
	})
}
