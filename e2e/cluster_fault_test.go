package e2e

import (
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/tallygate/tallygate/testserver"
)

// beginLoad sets a load to work on all the nodes.
func (c *cluster) beginLoad() *busy {
	c.t.Helper()
	return newLoad(c.t, c.nodes...).begin(c.t)
}

// judge holds the nodes to what they said, once everything has ended.
func (c *cluster) judge(b *busy) {
	c.t.Helper()
	b.end(c.t)
	c.audit()
	b.accounts()
	b.oneHolderEach()
	c.t.Log(b)
}

// faults has so many faults strike while the load is on, and looks after each whether what was acknowledged is there.
func (c *cluster) faults(b *busy, times int, fault func()) {
	c.t.Helper()
	for range times {
		b.goOn(c.t)
		fault()
		b.succeed(c.t, 50)
		b.holdsServerToItsWord()
		if c.t.Failed() {
			break
		}
	}
}

// TestKilledNodesLoseNothing: what a node was told and has not written is told again to another.
func TestKilledNodesLoseNothing(t *testing.T) {
	t.Parallel()
	c := serveCluster(t, testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t), 3, setup{})
	b := c.beginLoad()
	c.faults(b, kills(t), func() {
		node := c.nodes[b.random.IntN(len(c.nodes))]
		node.kill()
		b.succeed(t, 50) // at the others
		c.audit()
		node.start()
	})
	c.judge(b)
}

// TestNodesRestartedInTurnLoseNothing is a rolling upgrade.
func TestNodesRestartedInTurnLoseNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, setup{})
	b := c.beginLoad()
	next := 0
	c.faults(b, either(3, 30), func() {
		node := c.nodes[next%len(c.nodes)]
		next++
		node.stop()
		b.succeed(t, 50) // at the others
		node.start()
	})
	c.judge(b)
}

// backends chooses what the nodes are connected by.
const backends = ` FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tallygate%' `

func TestEndedBackendsLoseNothing(t *testing.T) {
	t.Parallel()
	c := serveCluster(t, testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t), 3, setup{})
	b := c.beginLoad()
	c.faults(b, either(8, 100), func() {
		c.ask("SELECT pg_terminate_backend(pid)" + backends + "ORDER BY random() LIMIT 3")
	})
	c.judge(b)
}

// TestCrashedBackendsLoseNothing kills a backend as a fault of memory would: PostgreSQL ends all the others, too, and
// recovers.
func TestCrashedBackendsLoseNothing(t *testing.T) {
	t.Parallel()
	c := serveCluster(t, testserver.NewPostgres(t, testserver.PostgresOptions{}).Database(t), 3, setup{})
	b := c.beginLoad()
	c.faults(b, either(3, 30), func() {
		pids, _ := c.ask("SELECT pid" + backends + "AND state <> 'idle' ORDER BY random() LIMIT 1")
		if len(pids) == 0 { // nobody was at work
			pids, _ = c.ask("SELECT pid" + backends + "LIMIT 1")
		}
		pid, err := strconv.Atoi(pids[0])
		if err != nil {
			t.Fatal(err)
		}
		b.down()
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		until(t, "PostgreSQL has recovered", func() bool {
			_, ok := c.ask("SELECT 1")
			return ok
		})
		b.back()
	})
	c.judge(b)
}

func TestRestartedPostgresLosesNothing(t *testing.T) {
	t.Parallel()
	pg := testserver.NewPostgres(t, testserver.PostgresOptions{})
	c := serveCluster(t, pg.Database(t), 3, setup{})
	b := c.beginLoad()
	c.faults(b, either(2, 20), func() {
		b.down()
		pg.Restart()
		b.back()
	})
	c.faults(b, either(2, 20), func() {
		b.down()
		pg.Kill()
		pg.Start()
		b.back()
	})
	c.judge(b)
}

// TestFailoverOfPostgresLosesNothing: what was acknowledged is on the standby, too, and the nodes find it by themselves.
func TestFailoverOfPostgresLosesNothing(t *testing.T) {
	t.Parallel()
	primary := testserver.NewPostgres(t, testserver.PostgresOptions{})
	database := primary.Database(t)
	standby := primary.Standby(t, true)
	c := serveCluster(t, testserver.MultiHostURL(database, standby.URL()), 3, setup{})
	b := c.beginLoad()
	b.succeed(t, 500)
	b.down()
	primary.Kill()
	standby.Promote()
	b.back()
	b.succeed(t, 500)
	b.holdsServerToItsWord()
	c.judge(b)
}

// TestKilledRedisLosesNothing: limits are decided without it meanwhile, and by it again once it is back. Nobody who calls
// is told of it: the call that meets its end is decided, too.
func TestKilledRedisLosesNothing(t *testing.T) {
	t.Parallel()
	redis := testserver.Redis(t)
	c := newCluster(t, 3, setup{config: "limiter: " + redis.URL + "\n"})
	limited := func(status string) func() bool {
		return func() bool {
			for _, s := range c.nodes {
				if s.as(t, "").get("/readyz").ok().text("limiter.status") != status {
					return false
				}
			}
			return true
		}
	}
	until(t, "the nodes limit by Redis", limited("ok"))
	limits := object{"limits": object{"requests_per_second": 50, "burst": 10}}
	client, stop := c.nodes[0].newClient(t, "", limits), make(chan struct{})
	told := map[int]int{} // how often which status
	var calls sync.WaitGroup
	calls.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			a, err := client.at(c.nodes[i%len(c.nodes)]).try(http.MethodGet, "/v1/account", nil)
			if told[a.status]++; err != nil || a.status != http.StatusOK && a.status != http.StatusTooManyRequests {
				t.Errorf("%s, %v", a, err)
			}
		}
	})
	b := c.beginLoad()
	c.faults(b, either(3, 20), func() {
		redis.Kill()
		b.succeed(t, 50)
		until(t, "the nodes limit by themselves", limited("alone"))
		redis.Start()
		until(t, "the nodes limit by Redis again", limited("ok"))
	})
	close(stop)
	calls.Wait()
	if told[http.StatusOK] == 0 || told[http.StatusTooManyRequests] == 0 {
		t.Errorf("a client with a limit was told %v", told)
	}
	c.judge(b)
}
