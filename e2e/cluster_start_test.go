package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate/testserver"
)

// TestManyNodesStartOnAnEmptyDatabaseAtOnce: one of them makes the schema and the operator, and the others find them.
func TestManyNodesStartOnAnEmptyDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	database := testserver.Postgres(t).Database(t)
	key := prepare(t, setup{}).operatorKey // any that is one
	c := &cluster{t: t, admin: database}
	for range 10 {
		cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--database", database)
		cmd.Env = append(cmd.Environ(), "TALLYGATE_OPERATOR_KEY="+key)
		c.nodes = append(c.nodes, &server{t: t, database: database, operatorKey: key, process: spawn(t, cmd), web: newWeb(t)})
	}
	for _, s := range c.nodes {
		s.url = s.process.said(t, "tallygate listening on ")
	}
	c.settled()
	c.nodes[0].define(t, metered, pullType())
	client, w := c.nodes[0].newClient(t, "10"), c.nodes[9].newWorker(t)
	for i, s := range c.nodes {
		id := client.at(s).submit(metered)
		w := worker{w.at(c.nodes[(i+1)%10])}
		if l := w.lease(metered); l.job != id {
			t.Errorf("job %s was leased, want %s", l.job, id)
		} else {
			w.succeed(l, 1).ok()
		}
	}
	for _, s := range c.nodes {
		s.stop()
	}
	c.audit()
}

func TestNodeOlderThanTheSchemaRefusesToStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, setup{})
	if _, ok := c.ask("INSERT INTO tallygate_schema VALUES (9999, '9999_to_come.sql', 0)"); !ok {
		t.Fatal("the schema's version could not be raised")
	}
	r := run(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", c.admin).exits(2)
	for _, word := range []string{"9999", "newer"} {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("%q does not mention %q", r.stderr, word)
		}
	}
	c.nodes[0].operator(t).get("/v1/account").ok() // one that runs goes on
}

// TestNodesBehindAPoolerWork: behind one that pools transactions a node works as ever, but that it hears nothing of the
// others and says so.
func TestNodesBehindAPoolerWork(t *testing.T) {
	t.Parallel()
	database := testserver.Postgres(t).Database(t)
	pooled := testserver.PgBouncer(t, database, "transaction")
	c := serveCluster(t, pooled+"&default_query_exec_mode=cache_describe", 2, setup{})
	c.admin = database
	until(t, "the nodes say that they poll", func() bool {
		return c.nodes[0].standing().text("listener.status") == "polling" && c.nodes[1].standing().text("listener.status") == "polling"
	})
	c.leader(c.nodes...)
	c.nodes[0].define(t, metered, pullType())
	client, w := c.nodes[0].newClient(t, "10"), worker{c.nodes[0].newWorker(t).at(c.nodes[1])}
	for range 3 {
		ended := until200(func() answer {
			return client.post("/v1/jobs?wait=20s", object{"type": metered, "input": object{}}).ended("succeeded")
		})
		w.succeed(w.lease(metered), 1).ok()
		<-ended
	}
	b := c.beginLoad()
	b.succeed(t, 500)
	c.judge(b)
	leader := c.leader(c.nodes...)
	leader.kill()
	c.leader(without(c.nodes, leader)...)
}

// TestANodeBehindAPoolerThatIsNotToldOfItSaysWhatItNeeds: sessions' prepared statements are mixed up there.
func TestANodeBehindAPoolerThatIsNotToldOfItSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	database := testserver.Postgres(t).Database(t)
	run(t, nil, "init", "--database", database).exits(0)
	pooled := testserver.PgBouncer(t, database, "transaction", "default_pool_size = 1") // so that sessions do meet
	r := run(t, nil, "serve", "--listen", "127.0.0.1:0", "--database", pooled).exits(2)
	if !strings.Contains(r.stderr, "default_query_exec_mode=cache_describe") {
		t.Errorf("%q does not say what is missing", r.stderr)
	}
}

// TestAnotherNodeLeadsWhenTheLeaderIsGone, and leases that end in between are found by the others.
func TestAnotherNodeLeadsWhenTheLeaderIsGone(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		comes func(*server)
		most  time.Duration // until another leads, on a quiet machine
	}{
		"killed":  {(*server).kill, 2 * time.Second},
		"paused":  {(*server).pause, 7 * time.Second},
		"stopped": {(*server).stop, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, 3, setup{})
			c.settled()
			c.nodes[0].define(t, metered, pullType(object{"lease": "1s"}))
			leader := c.leader(c.nodes...)
			others := without(c.nodes, leader)
			client, w := others[0].newClient(t, "10"), others[0].newWorker(t)
			id := client.submit(metered)
			w.lease(metered) // and its worker falls silent
			lost := time.Now()
			end.comes(leader)
			c.leader(others...)
			took := time.Since(lost)
			t.Logf("another node led after %v", took)
			if long() && took > end.most {
				t.Errorf("another node led after %v, want less than %v", took, end.most)
			}
			until(t, "the others count without it", func() bool {
				return others[0].standing().number("nodes") == 2 && others[1].standing().number("nodes") == 2
			})
			if l := (worker{w.at(others[1])}).lease(metered); l.job != id {
				t.Errorf("job %s was leased, want %s", l.job, id)
			}
			leaders := 0
			for _, s := range others {
				if s.leads() {
					leaders++
				}
			}
			if leaders != 1 {
				t.Errorf("%d of the others lead", leaders)
			}
			others[0].audit()
		})
	}
}
