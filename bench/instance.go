package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tallygate/tallygate/child"
)

// serverConfig is the configuration file of the server under load: what a
// bench cannot run with, and nothing that makes it faster than it is.
const serverConfig = "failed_auth_limit: 0\n"

// databaseVariable names the database to a server process where it is no file:
// an argument with a password would stand in the list of processes.
const databaseVariable = "TALLYGATE_DATABASE"

// An instance is a server with a fresh database: one process, or several nodes
// that share the database.
type instance struct {
	operator
	nodes    []node
	folder   string
	database string // its name on the PostgreSQL server; empty: a file in the folder
	counter  int64  // the next that no request of a load has used
}

type node struct {
	process *child.Child
	at      string // host and port
}

// start makes a database and serves it by as many nodes as the run asks for.
func (s *session) start(ctx context.Context, name string) (*instance, error) {
	return s.startNodes(ctx, name, s.Nodes)
}

func (s *session) startNodes(ctx context.Context, name string, nodes int) (*instance, error) {
	folder, err := os.MkdirTemp(s.folder, name+"-")
	if err != nil {
		return nil, err
	}
	i := &instance{folder: folder}
	if err := i.start(ctx, s, name, nodes); err != nil {
		i.stop(s)
		return nil, err
	}
	s.running = append(s.running, i)
	return i, nil
}

func (i *instance) start(ctx context.Context, s *session, name string, nodes int) error {
	config := filepath.Join(i.folder, "tallygate.yaml")
	if err := os.WriteFile(config, []byte(serverConfig), 0o600); err != nil {
		return err
	}
	where, environment := []string{"--database", filepath.Join(i.folder, "bench.db")}, []string(nil)
	if s.host != nil {
		var err error
		if i.database, err = s.host.create(ctx); err != nil {
			return err
		}
		where, environment = nil, []string{databaseVariable + "=" + s.host.named(i.database)}
	}
	key, err := initialise(ctx, s.Binary, where, environment)
	if err != nil {
		return err
	}
	for n := range nodes {
		process, err := s.spawn(ctx, child.Spec{
			Name: fmt.Sprintf("server %s %d", name, n+1),
			Args: append([]string{"serve", "--listen", "127.0.0.1:0", "--config", config}, where...),
			Env:  environment,
		})
		if err != nil {
			return err
		}
		i.nodes = append(i.nodes, node{process: process})
	}
	for n := range i.nodes {
		if i.nodes[n].at, err = listens(ctx, i.nodes[n].process); err != nil {
			return err
		}
	}
	i.operator = operator{base: "http://" + i.nodes[0].at, key: key, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 4},
		Timeout:   2 * time.Minute,
	}}
	if err := i.acquainted(ctx); err != nil {
		return err
	}
	return i.defineJobType(ctx, 0)
}

// initialise makes the operator's key of a fresh database.
func initialise(ctx context.Context, binary string, where, environment []string) (key string, err error) {
	command := exec.CommandContext(ctx, binary, append([]string{"init", "--json"}, where...)...)
	command.Env = append(os.Environ(), environment...)
	said, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return "", fmt.Errorf("bench: init: %w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("bench: init: %w", err)
	}
	var made struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal(said, &made); err != nil || made.OperatorKey == "" {
		return "", errors.New("bench: init printed no operator_key")
	}
	return made.OperatorKey, nil
}

// acquainted waits until every node knows of the others.
func (i *instance) acquainted(ctx context.Context) error {
	if len(i.nodes) == 1 {
		return nil
	}
	for n := 0; n < len(i.nodes); {
		var state struct {
			Cluster struct {
				Nodes int `json:"nodes"`
			} `json:"cluster"`
		}
		look := operator{base: "http://" + i.nodes[n].at, key: i.key, http: i.http}
		if err := look.call(ctx, http.MethodGet, "/readyz", nil, &state); err != nil {
			return err
		}
		if state.Cluster.Nodes >= len(i.nodes) {
			n++
			continue
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// addresses are where the nodes listen.
func (i *instance) addresses() []string {
	at := make([]string, len(i.nodes))
	for n := range i.nodes {
		at[n] = i.nodes[n].at
	}
	return at
}

// resident is the memory of the largest of the server's processes.
func (i *instance) resident() (most float64, err error) {
	for _, n := range i.nodes {
		used, err := residentMiB(n.process.PID())
		if err != nil {
			return 0, err
		}
		most = max(most, used)
	}
	return most, nil
}

// stop ends the server and takes its database away. Stopping twice does
// nothing.
func (i *instance) stop(s *session) {
	for _, n := range i.nodes {
		n.process.Stop()
	}
	i.nodes = nil
	if i.http != nil {
		i.http.CloseIdleConnections()
	}
	s.dropped(i.database)
	if i.database = ""; !s.Keep {
		_ = os.RemoveAll(i.folder)
	}
}
