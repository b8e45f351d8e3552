package e2e

import (
	"context"
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate/testserver"
)

// long reports whether the long forms are asked for.
func long() bool { return os.Getenv(longVariable) == "1" }

// either is the value for the short form or the one for the long.
func either[T any](short, other T) T {
	if long() {
		return other
	}
	return short
}

// unbounded is a client whose requests have no limit that a test meets.
var unbounded = object{"limits": object{"requests_per_second": 100_000, "burst": 100_000}}

// cluster is nodes that share a database.
type cluster struct {
	t     *testing.T
	admin string // the URL by which the test looks into the database
	nodes []*server
}

// serveCluster initialises a database and serves it by so many nodes until the test ends.
func serveCluster(t *testing.T, database string, nodes int, with setup) *cluster {
	t.Helper()
	key := run(t, nil, "init", "--database", database, "--json").exits(0).json().text("operator_key")
	c := &cluster{t: t, admin: database}
	for range nodes {
		c.addNode(database, key, with)
	}
	return c
}

// addNode starts one more node, by a URL of its own.
func (c *cluster) addNode(database, operatorKey string, with setup) *server {
	c.t.Helper()
	with.listen = freeAddress(c.t)
	s := &server{t: c.t, setup: with, database: database, operatorKey: operatorKey, web: newWeb(c.t)}
	s.start()
	c.nodes = append(c.nodes, s)
	return s
}

// at is the caller at a node.
func (c caller) at(s *server) caller {
	c.server = s
	return c
}

// newCluster serves a database of the server that tests share.
func newCluster(t *testing.T, nodes int, with setup) *cluster {
	t.Helper()
	return serveCluster(t, testserver.Postgres(t).Database(t), nodes, with)
}

// audit has the ledger proved.
func (c *cluster) audit() {
	c.t.Helper()
	c.nodes[0].audit()
}

// ask runs a statement in the database and returns its rows' first column. ok is false where the database did not
// carry it out.
func (c *cluster) ask(statement string) (column []string, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pg, err := pgconn.Connect(ctx, c.admin)
	if err != nil {
		return nil, false
	}
	defer pg.Close(ctx) // it is of no more use
	results, err := pg.Exec(ctx, statement).ReadAll()
	if err != nil {
		return nil, false
	}
	for _, row := range results[len(results)-1].Rows {
		column = append(column, string(row[0]))
	}
	return column, true
}

// pause stops a node where it stands, and resume lets it go on. A test that ends resumes it, so that it can be ended.
func (s *server) pause() {
	s.process.signal(syscall.SIGSTOP)
	s.t.Cleanup(s.resume)
}

func (s *server) resume() { s.process.signal(syscall.SIGCONT) }

// standing is what a node's /readyz tells of the cluster.
func (s *server) standing() value { return s.as(s.t, "").get("/readyz").ok().at("cluster") }

// leads reports whether the node does the upkeep for all.
func (s *server) leads() bool { return s.standing().at("leader").v == true }

// leader waits until one of the nodes leads.
func (c *cluster) leader(nodes ...*server) (leader *server) {
	c.t.Helper()
	until(c.t, "a node leads", func() bool {
		leader = nil
		for _, s := range nodes {
			if s.leads() {
				leader = s
				return true
			}
		}
		return false
	})
	return leader
}

// settled waits until every node knows of all.
func (c *cluster) settled() {
	c.t.Helper()
	until(c.t, "the nodes know of each other", func() bool {
		for _, s := range c.nodes {
			if here := s.standing(); here.number("nodes") != int64(len(c.nodes)) || here.text("listener.status") != "ok" {
				return false
			}
		}
		return true
	})
}
