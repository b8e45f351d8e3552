package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// gauge counts what is held at once.
type gauge struct {
	mu        sync.Mutex
	now, most int
}

func (g *gauge) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now += n
	g.most = max(g.most, g.now)
}

// TestCapsOnRunningJobsAreExactAcrossNodes: whatever node leases are taken on, no more run at once than the client may
// run and the type may be run, and no fewer where there are as many.
func TestCapsOnRunningJobsAreExactAcrossNodes(t *testing.T) {
	t.Parallel()
	const clientCap, typeCap = 5, 7
	c := newCluster(t, 3, setup{})
	c.nodes[0].define(t, metered, pullType(object{"running_jobs": typeCap, "lease": "1m"}))
	holds := map[string]*gauge{"": {}} // of each client, and of the type
	var left sync.WaitGroup
	for _, hundreds := range either([]int{1, 2}, []int{20, 40}) {
		client := c.nodes[0].newClient(t, "10000", object{"limits": object{"running_jobs": clientCap, "requests_per_second": 1000, "burst": 1000}})
		holds[client.id] = &gauge{}
		left.Add(100 * hundreds)
		for range hundreds {
			client.post("/v1/jobs/batch", object{"jobs": slices.Repeat([]object{{"type": metered, "input": object{}}}, 100)}).ok()
		}
	}
	w := c.nodes[0].newWorker(t)
	stop := make(chan struct{})
	var workers sync.WaitGroup
	for i := range 9 {
		w := worker{w.at(c.nodes[i%3])}
		workers.Go(func() {
			var kept []value // leases, held until the next have come
			for {
				a, err := w.try(http.MethodPost, "/v1/worker/lease", object{"types": []string{metered}, "max": 1 + i, "wait": "50ms"})
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%s, %v", a, err)
					return
				}
				leases := a.list("leases")
				for _, l := range leases {
					holds[l.text("job.client_id")].add(1)
					holds[""].add(1)
				}
				for _, l := range kept {
					holds[l.text("job.client_id")].add(-1)
					holds[""].add(-1)
					a, err := w.try(http.MethodPost, "/v1/worker/jobs/"+l.text("job.id")+"/succeed", object{"token": l.text("token"), "result": 1})
					if err != nil || a.status != http.StatusOK {
						t.Errorf("%s, %v", a, err)
					}
					left.Done()
				}
				kept = leases
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	left.Wait()
	close(stop)
	workers.Wait()
	for id, g := range holds {
		most := clientCap
		if id == "" {
			id, most = metered, typeCap
		} else if b := c.nodes[0].operator(t).get("/v1/clients/" + id).ok(); b.text("balance.held") != "0.00" {
			t.Errorf("%s: want nothing held any more", b)
		}
		t.Logf("%s: at most %d of %d at once", id, g.most, most)
		if g.most > most {
			t.Errorf("%d jobs of %s ran at once, its cap is %d", g.most, id, most)
		}
	}
	if g := holds[""]; g.most != typeCap {
		t.Errorf("at most %d jobs ran at once, want as many as the type's cap of %d", g.most, typeCap)
	}
	c.audit()
}

// TestBalanceAdmitsTheSameOnManyNodes: of twenty submits at once, spread over the nodes, as many are accepted as the
// balance has for.
func TestBalanceAdmitsTheSameOnManyNodes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, setup{})
	c.nodes[0].define(t, "dear", object{"price": object{"base": "75"}, "executor": object{"kind": "pull"}})
	for range either(10, 200) {
		client := c.nodes[0].newClient(t, "500", unbounded)
		answers := make([]answer, 20)
		var all sync.WaitGroup
		for i := range answers {
			all.Go(func() {
				var err error
				answers[i], err = client.at(c.nodes[i%3]).try(http.MethodPost, "/v1/jobs", object{"type": "dear", "input": object{"number": strconv.Itoa(i)}})
				if err != nil {
					t.Errorf("submit: %v", err)
				}
			})
		}
		all.Wait()
		admitted := 0
		for _, a := range answers {
			if a.status == http.StatusOK {
				admitted++
			} else {
				a.refused("INSUFFICIENT_BALANCE")
			}
		}
		if b := client.balance(); admitted != 6 || b.held != 450_000_000 || b.available != 50_000_000 {
			t.Fatalf("%d of 20 submits of 75 were admitted on a balance of 500, which is now %+v", admitted, b)
		}
	}
	c.audit()
}

// TestOneIdempotencyKeyOnManyNodesHasOneEffect sends each request to all the nodes at once.
func TestOneIdempotencyKeyOnManyNodesHasOneEffect(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, setup{})
	c.nodes[0].define(t, metered, pullType())
	client := c.nodes[0].newClient(t, "1000", unbounded)
	op := c.nodes[0].operator(t)
	times := either(50, 1000)
	for _, e := range []struct {
		name    string
		attempt attempt
	}{
		{"submit", attempt{caller: client.caller, path: "/v1/jobs", body: someJob}},
		{"credit", attempt{caller: op, path: "/v1/clients/" + client.id + "/credits", body: object{"amount": "0.25"}}},
		{"create-a-key", attempt{caller: client.caller, path: "/v1/api-keys", body: readsJobs}},
	} {
		for i := range times {
			answers := make([]answer, 6)
			var all sync.WaitGroup
			for j := range answers {
				a := e.attempt
				a.caller = a.caller.at(c.nodes[j%3])
				all.Go(func() { answers[j] = a.send(fmt.Sprintf("%s-%d", e.name, i), a.body) })
			}
			all.Wait()
			e.attempt.sameAnswer(t, answers)
		}
	}
	if n := len(op.pages("/v1/jobs?client_id=" + client.id)); n != times {
		t.Errorf("%d jobs, want %d", n, times)
	}
	if n := len(op.pages("/v1/clients/" + client.id + "/api-keys")); n != times+1 {
		t.Errorf("%d keys, want %d beside the first", n, times)
	}
	if b := client.balance(); b.posted != 1000_000_000+int64(times)*250_000 || b.held != int64(times)*meteredQuote {
		t.Errorf("the balance is %+v after %d submits and top-ups", b, times)
	}
	c.audit()
}
