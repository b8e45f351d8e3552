package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/testserver"
)

// standstill is how long a node is stopped.
func standstill() time.Duration { return either(5*time.Second, 60*time.Second) }

// TestPausedNodeLosesNothing: a node that stands still holds the others up for no longer than it may hold a turn, and
// does no harm when it goes on.
func TestPausedNodeLosesNothing(t *testing.T) {
	t.Parallel()
	c := serveCluster(t, testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t), 3, setup{})
	l := newLoad(t, c.nodes...)
	l.servers = nil
	for _, s := range c.nodes { // a balancer would not wait longer either
		impatient := &server{t: t, url: s.url, web: newWeb(t)}
		impatient.web.Timeout = 2 * time.Second
		l.servers = append(l.servers, impatient)
	}
	b := l.begin(t)
	c.faults(b, 1, func() {
		leader := c.leader(c.nodes...)
		others := without(c.nodes, leader)
		leader.pause()
		stop := make(chan struct{})
		var watching sync.WaitGroup
		var mu sync.Mutex
		var longest time.Duration
		answers := 0
		for _, s := range others {
			op := b.op.at(s)
			op.server = &server{t: t, url: s.url, web: newWeb(t)} // and more patience
			watching.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					began := time.Now()
					a, err := op.try(http.MethodPatch, "/v1/clients/"+b.load.clients[0].id, object{"name": "Acme"})
					if err != nil || (a.status != http.StatusOK && a.status != http.StatusServiceUnavailable && a.status != http.StatusInternalServerError) {
						t.Errorf("beside a paused node: %s, %v", a, err)
						return
					}
					if a.status == http.StatusOK {
						mu.Lock()
						longest, answers = max(longest, time.Since(began)), answers+1
						mu.Unlock()
					}
				}
			})
		}
		<-time.After(standstill())
		b.succeed(t, 100)
		leader.resume()
		close(stop)
		watching.Wait()
		t.Logf("%d writes beside the paused node, the longest took %v", answers, longest)
		if most := either(20*time.Second, 5*time.Second); longest > most {
			t.Errorf("a write beside a paused node took %v", longest)
		}
	})
	c.judge(b)
}

func without(nodes []*server, node *server) (others []*server) {
	for _, s := range nodes {
		if s != node {
			others = append(others, s)
		}
	}
	return others
}

// TestReportThroughAPausedNodeComesTooLate: what a worker said to a node that stood still meanwhile counts no more once
// another worker has the job.
func TestReportThroughAPausedNodeComesTooLate(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, setup{})
	a, b := c.nodes[0], c.nodes[1]
	a.define(t, metered, pullType(object{"lease": "1s"}))
	client, w := a.newClient(t, "10"), a.newWorker(t)
	id := client.submit(metered)
	late := w.lease(metered)
	a.pause()
	reported := object{"token": late.token, "result": object{}, "units": object{"page": 50}}
	said := make(chan answer, 1)
	go func() {
		defer close(said)
		report, err := w.try("POST", "/v1/worker/jobs/"+id+"/succeed", reported)
		if err != nil {
			t.Errorf("a report through a paused node: %v", err)
			return
		}
		said <- report
	}()
	taken := worker{w.at(b)}.lease(metered)
	worker{w.at(b)}.succeed(taken, 3).ok()
	a.resume()
	if report, ok := <-said; ok {
		if report.header.Get("X-Error-Code") == "DATABASE_ERROR" { // the other node has ended the connection that stood still
			report = w.post("/v1/worker/jobs/"+id+"/succeed", reported)
		}
		report.refused("INVALID_REQUEST")
	}
	if job := client.get("/v1/jobs/" + id).ok(); taken.job != id || job.text("receipt.charged") != "0.016" || job.number("attempt") != 2 {
		t.Errorf("%s: want what the second worker said", job)
	}
	c.nodes[1].audit()
}

// TestUpstreamOfAPausedNodeIsCalledByAnother: a node that called an upstream and stood still has lost the lease, and the
// answer that it reads late changes nothing.
func TestUpstreamOfAPausedNodeIsCalledByAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, setup{})
	a, b := c.nodes[0], c.nodes[1]
	attempts, answer := make(chan string, 10), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		attempt := r.Header.Get("X-Tallygate-Attempt")
		attempts <- attempt
		<-answer
		w.Header().Set("X-Tallygate-Units", "page="+attempt)
		_, _ = io.WriteString(w, `{"by":`+attempt+`}`)
	}))
	defer upstream.Close()
	a.define(t, "upstream", pullType(object{"lease": "1s", "executor": object{"kind": "http", "url": upstream.URL, "timeout": "1m"}}))
	client := a.newClient(t, "10")
	b.pause() // so that the other one takes the job
	id := client.submit("upstream")
	if attempt := <-attempts; attempt != "1" {
		t.Errorf("the first call is attempt %s", attempt)
	}
	b.resume()
	a.pause()
	if attempt := <-attempts; attempt != "2" {
		t.Errorf("the second call is attempt %s", attempt)
	}
	close(answer)
	job := client.at(b).get("/v1/jobs/" + id + "?wait=30s").ok()
	a.resume()
	if job.text("status") != "succeeded" || job.number("result.by") != 2 {
		t.Errorf("%s: want it done by the node that went on", job)
	}
	a.stop() // it has said what it has to say
	if now := client.at(b).get("/v1/jobs/" + id).ok(); now.String() != job.String() {
		t.Errorf("it became %s, and was %s", now, job)
	}
	c.nodes[1].audit()
}
