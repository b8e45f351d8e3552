package e2e

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/testserver"
)

// lenient is a server that a client may go on calling once it is refused.
var lenient = setup{config: "failed_auth_limit: 0\n"}

// bound is how long after a change its old state may still pass somewhere.
const bound = 2 * time.Second

// change takes a client's right to call away.
type change struct {
	name string
	make func(op caller, c customer) answer
	code string
}

var changes = []change{
	{"a revoked key", func(op caller, c customer) answer {
		return op.post("/v1/clients/"+c.id+"/api-keys/"+c.keyID+"/revoke", nil)
	}, "REVOKED_API_KEY"},
	{"a rotated key", func(op caller, c customer) answer {
		return op.post("/v1/clients/"+c.id+"/api-keys/"+c.keyID+"/rotate", object{"overlap": "0s"})
	}, "EXPIRED_API_KEY"},
	{"a suspended client", func(op caller, c customer) answer {
		return op.post("/v1/clients/"+c.id+"/suspend", nil)
	}, "SUSPENDED_ACCOUNT"},
}

// asked is one answer to a caller whose right ends.
type asked struct {
	began  time.Time
	writes bool
	answer answer
}

// wishes are what a node is asked for: what it answers from memory once it has let the caller in, what it reads and what
// it writes. Each has callers of its own, so that none waits for another where the database gives no answer.
var wishes = []struct {
	method, path string
	body         any
	writes       bool
}{
	{http.MethodGet, "/v1/job-types/" + metered, nil, false},
	{http.MethodGet, "/v1/account", nil, false},
	{http.MethodPost, "/v1/jobs", object{"type": metered, "input": object{}}, true},
}

// asks calls a node for a wish again and again, until stop is closed, and returns what came.
func asks(c caller, wish int, stop <-chan struct{}) (all []asked) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	w := wishes[wish]
	for {
		select {
		case <-stop:
			return all
		case <-pace.C:
		}
		began := time.Now()
		if a, err := c.try(w.method, w.path, w.body); err == nil { // else the node cannot be reached, which lets nobody in
			all = append(all, asked{began, w.writes, a})
		}
	}
}

// changesHold makes the changes on the first node while every node is called by those whom they are about, and makes
// sure that past the bound no node lets them in, and none gives another reason. before is done just before the changes.
func changesHold(t *testing.T, nodes []*server, changes []change, before func()) {
	t.Helper()
	op := nodes[0].operator(t)
	stop := make(chan struct{})
	all := make([][][]asked, len(changes)) // for each change by each node and wish
	clients := make([]customer, len(changes))
	made := make([]time.Time, len(changes))
	var callers sync.WaitGroup
	for i := range changes {
		c := nodes[0].newClient(t, "100", unbounded)
		clients[i], all[i] = c, make([][]asked, len(nodes)*len(wishes))
		for j, s := range nodes {
			c.at(s).get("/v1/job-types/" + metered).ok() // from now on the node remembers the key, and the type
			for wish := range wishes {
				callers.Go(func() { all[i][j*len(wishes)+wish] = asks(c.at(s), wish, stop) })
			}
		}
	}
	before()
	for i, ch := range changes {
		ch.make(op, clients[i]).ok()
		made[i] = time.Now()
	}
	<-time.After(bound + time.Second)
	close(stop)
	callers.Wait()
	var last time.Duration
	answers := 0
	for i, ch := range changes {
		for j, came := range all[i] {
			last = max(last, ch.held(t, j/len(wishes), made[i], came))
			answers += len(came)
		}
	}
	t.Logf("%d answers, the last that let a caller in to what was asked %v after the change", answers, last)
}

// held judges what came from a node, and returns how long after the change something was asked that was answered all
// the same.
func (ch change) held(t *testing.T, node int, made time.Time, all []asked) (last time.Duration) {
	t.Helper()
	wrong := map[string]answer{}
	for _, asked := range all {
		switch code := asked.answer.header.Get("X-Error-Code"); {
		case asked.answer.status == http.StatusOK:
			after := asked.began.Sub(made)
			if last = max(last, after); asked.writes && after > 0 {
				t.Errorf("%s submitted a job on node %d %v after the change: a write is decided again where it is made", ch.name, node, after)
			}
		case code != ch.code && code != "DATABASE_ERROR" && code != "SERVICE_UNAVAILABLE":
			wrong[code] = asked.answer
		}
	}
	for _, a := range wrong {
		t.Errorf("%s on node %d: %s", ch.name, node, a)
	}
	if last > bound {
		t.Errorf("%s passed on node %d %v after the change", ch.name, node, last)
	}
	return last
}

func TestChangesOfWhoMayCallHoldOnEveryNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, lenient)
	c.nodes[0].define(t, metered, pullType())
	b := c.beginLoad()
	for range either(1, 10) {
		changesHold(t, c.nodes, changes, func() {})
	}
	restore := c.cutListeners()
	for range either(1, 10) {
		changesHold(t, c.nodes, changes, func() {})
	}
	restore()
	c.judge(b)
}

// TestChangesOfWhoMayCallHoldOnANodeThatStoodStill: the first answer of a node that was stopped before the change and
// goes on after the bound is a refusal.
func TestChangesOfWhoMayCallHoldOnANodeThatStoodStill(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, lenient)
	c.nodes[0].define(t, metered, pullType())
	op := c.nodes[0].operator(t)
	b := c.beginLoad()
	for round := range either(2, 20) {
		node := c.nodes[1+round%2]
		clients := make([]customer, len(changes))
		for i := range changes {
			clients[i] = c.nodes[0].newClient(t, "1")
			clients[i].at(node).get("/v1/account").ok()
		}
		node.pause()
		answers := make(chan func(), 4*len(changes))
		for i, ch := range changes {
			ch.make(op, clients[i]).ok()
			for range 4 { // they come while it stands still
				go func() {
					a, err := clients[i].at(node).try(http.MethodGet, "/v1/account", nil)
					answers <- func() {
						if err != nil {
							t.Errorf("a node that stood still: %v", err)
						} else if a.status == http.StatusOK {
							t.Errorf("%s passed on a node that stood still", ch.name)
						} else {
							a.isErrorOneOf(ch.code, "DATABASE_ERROR", "SERVICE_UNAVAILABLE")
						}
					}
				}()
			}
		}
		<-time.After(bound + time.Second)
		node.resume()
		for range cap(answers) {
			(<-answers)()
		}
		for i, ch := range changes {
			until(t, "the node has heard", func() bool { return clients[i].at(node).get("/v1/account").header.Get("X-Error-Code") == ch.code })
		}
	}
	c.judge(b)
}

// TestChangesOfWhoMayCallHoldOnANodeThatHearsNothing: a node whose database is out of reach, or gives no answer, lets
// nobody in past the bound, and tells nobody that their key is wrong.
func TestChangesOfWhoMayCallHoldOnANodeThatHearsNothing(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*testserver.TCPProxy){"out of reach": (*testserver.TCPProxy).Cut, "no answer": (*testserver.TCPProxy).Hang} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 1, lenient)
			proxy := testserver.Proxy(t, c.admin)
			node := c.addNode(proxy.URL, c.nodes[0].operatorKey, lenient)
			node.web.Timeout = 10 * time.Second
			c.nodes[0].define(t, metered, pullType())
			changesHold(t, c.nodes, changes[:1], func() { lose(proxy) })
			ready := func() (store string, lag float64) {
				a := node.as(t, "").get("/readyz")
				seconds, _ := a.at("revision.lag_seconds").v.(json.Number)
				lag, err := seconds.Float64()
				if err != nil {
					t.Errorf("%s: %v", a, err)
				}
				return a.text("store.status"), lag
			}
			until(t, "the node says that it hears nothing", func() bool {
				store, lag := ready()
				return store == "unreachable" && lag >= bound.Seconds()
			})
			proxy.Resume()
			until(t, "the node has heard", func() bool {
				store, lag := ready()
				return store == "ok" && lag < bound.Seconds() && node.operator(t).get("/v1/account").status == http.StatusOK
			})
			c.audit()
		})
	}
}
