package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tallygate/tallygate/child"
	sdk "github.com/tallygate/tallygate/sdk/go"
	"github.com/tallygate/tallygate/testserver"
)

const nodes = 2

var redisPrograms = []string{"redis-server", "valkey-server"}

// cluster is everything that runs.
type cluster struct {
	opt    options
	folder string // logs, process numbers and the operator's key

	stage            stage
	primary, standby *testserver.PostgresServer
	redis            *process
	nodes            []*process
	addresses        []string // of the nodes, host:port
	database         string   // the URL by which nodes find whichever server takes writes
	limiter          string   // the URL of Redis
	balancer         *balancer
	url              string // of the balancer
	operator         string // key
	api              *sdk.Client

	keeping context.Context // the processes are started again until it ends
	release context.CancelFunc
	tasks   sync.WaitGroup
	printed sync.Mutex
}

// errMissing says what has to be on the machine.
var errMissing = errors.New("this needs PostgreSQL with its psql, and Redis or Valkey: apt-get install postgresql redis-server (brew install postgresql redis)")

// installed returns the first of the programs that is there.
func installed(programs ...string) (path string, found bool) {
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path, true
		}
	}
	return "", false
}

func newCluster(opt options) (*cluster, error) {
	inFolders, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // fails on a bad pattern only
	_, makes := installed(append(inFolders, "initdb")...)
	_, asks := installed("psql")
	_, limits := installed(redisPrograms...)
	if !makes || !asks || !limits {
		return nil, errMissing
	}
	folder, err := os.MkdirTemp("", "tallygate-cluster-")
	c := &cluster{opt: opt, folder: folder}
	c.keeping, c.release = context.WithCancel(context.Background())
	return c, err
}

func (c *cluster) file(name string) string { return filepath.Join(c.folder, name) }

// start brings everything up: the database first, the balancer last.
func (c *cluster) start(ctx context.Context) error {
	for _, step := range []func(context.Context) error{c.startPostgres, c.startRedis, c.initialise, c.startNodes, c.startBalancer, c.defineType} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// close ends everything, the nodes first. Where something failed the ends of the logs are shown.
func (c *cluster) close(failed bool) error {
	c.release()
	c.tasks.Wait()
	var stopping sync.WaitGroup
	for _, p := range c.nodes {
		stopping.Go(p.stop)
	}
	stopping.Wait()
	if c.redis != nil {
		c.redis.stop()
	}
	c.stage.end()
	if failed {
		c.showLogs()
	}
	return os.RemoveAll(c.folder)
}

func (c *cluster) showLogs() {
	logs, _ := filepath.Glob(c.file("*.log")) // fails on a bad pattern only
	for _, path := range logs {
		const most = 4 << 10
		text, _ := os.ReadFile(path) // what cannot be read is not shown
		fmt.Fprintf(os.Stderr, "\n== %s ends\n%s\n", filepath.Base(path), text[max(0, len(text)-most):])
	}
}

func (c *cluster) startPostgres(context.Context) error {
	err := c.stage.try(func() { c.primary = testserver.NewPostgres(&c.stage, testserver.PostgresOptions{}) })
	if err != nil {
		return fmt.Errorf("PostgreSQL: %w", err)
	}
	if _, err := ask(c.primary.URL(), "CREATE DATABASE tallygate"); err != nil {
		return err
	}
	if err := c.stage.try(func() { c.standby = c.primary.Standby(&c.stage, true) }); err != nil {
		return fmt.Errorf("PostgreSQL's standby: %w", err)
	}
	c.database = testserver.MultiHostURL(inDatabase(c.primary.URL()), c.standby.URL())
	for name, server := range map[string]*testserver.PostgresServer{"primary": c.primary, "standby": c.standby} {
		pid, err := ask(server.URL(), `SELECT split_part(pg_read_file('postmaster.pid'), E'\n', 1)`)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.file(name+".pid"), []byte(pid), 0o600); err != nil {
			return err
		}
	}
	c.step("primary", "%s", inDatabase(c.primary.URL()))
	c.step("standby", "%s  (each commit is on its disk, too)", inDatabase(c.standby.URL()))
	return nil
}

// inDatabase is a server's URL with the database of the cluster.
func inDatabase(server string) string {
	return strings.Replace(server, "/postgres?", "/tallygate?", 1)
}

// ask runs a statement and returns the first row's only column, if there is one.
func ask(server, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pg, err := pgconn.Connect(ctx, server)
	if err != nil {
		return "", err
	}
	defer pg.Close(ctx) //nolint:errcheck // it is of no more use
	results, err := pg.Exec(ctx, statement).ReadAll()
	if err != nil || len(results) == 0 || len(results[0].Rows) == 0 {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

func (c *cluster) startRedis(ctx context.Context) error {
	program, found := installed(redisPrograms...)
	if !found {
		return errMissing
	}
	address, err := freeAddress(portAfter(c.opt.listen, nodes+1))
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(address) // freeAddress has looked at it
	c.limiter = "redis://" + address
	c.redis, err = newProcess(c.folder, child.Spec{Name: "redis", Program: program, Args: []string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", c.folder}})
	if err != nil {
		return err
	}
	c.redis.serves = func(ctx context.Context, process *child.Child) error { return answers(ctx, process, address) }
	if err := c.keep(ctx, c.redis); err != nil {
		return fmt.Errorf("Redis: %w", err)
	}
	c.step("redis", "%s  (limits are counted here for all nodes)", c.limiter)
	return nil
}

// keep starts a process, and starts it again until the end.
func (c *cluster) keep(ctx context.Context, p *process) error {
	if err := p.start(ctx); err != nil {
		p.stop()
		return err
	}
	c.tasks.Go(func() { p.keep(c.keeping, c.say) })
	return nil
}

// initialise makes the operator's key.
func (c *cluster) initialise(context.Context) error {
	out, err := exec.Command(c.opt.binary, "init", "--database", c.database, "--json").Output() //nolint:gosec // our own program
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("init: %w: %s", err, exit.Stderr)
	}
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	var made struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	c.operator = made.OperatorKey
	return nil
}

func (c *cluster) startNodes(ctx context.Context) error {
	for i := range nodes {
		address, err := freeAddress(portAfter(c.opt.listen, i+1))
		if err != nil {
			return err
		}
		name := "node-" + strconv.Itoa(i+1)
		p, err := newProcess(c.folder, child.Spec{
			Name: name, Program: c.opt.binary, Args: []string{"serve", "--listen", address, "--trusted-proxies", "127.0.0.1"},
			Env: []string{"TALLYGATE_DATABASE=" + c.database, "TALLYGATE_LIMITER=" + c.limiter}, // where URLs with passwords belong
		})
		if err != nil {
			return err
		}
		p.serves = func(ctx context.Context, process *child.Child) error {
			_, err := process.Address(ctx)
			return err
		}
		if err := c.keep(ctx, p); err != nil {
			return err
		}
		c.nodes, c.addresses = append(c.nodes, p), append(c.addresses, address)
		c.step(name, "http://%s", address)
	}
	return nil
}

// portAfter is an address so many ports further on.
func portAfter(address string, n int) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	number, err := strconv.Atoi(port)
	if err != nil || number == 0 {
		return net.JoinHostPort(host, "0")
	}
	return net.JoinHostPort(host, strconv.Itoa(number+n))
}

func (c *cluster) startBalancer(context.Context) error {
	address, err := freeAddress(c.opt.listen)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var backends []*backend
	for i, address := range c.addresses {
		backends = append(backends, &backend{name: c.nodes[i].spec.Name, address: address})
	}
	c.balancer = newBalancer(c.say, backends...)
	for _, n := range backends {
		n.ready.Store(true) // it has just said so
	}
	server := &http.Server{Handler: c.balancer, ReadHeaderTimeout: 10 * time.Second}
	c.tasks.Go(func() { c.balancer.watch(c.keeping) })
	c.tasks.Go(func() { _ = server.Serve(listener) }) // until it is closed
	context.AfterFunc(c.keeping, func() { _ = server.Close() })
	c.url = "http://" + listener.Addr().String()
	if c.api, err = c.connect(c.url, c.operator); err != nil {
		return err
	}
	c.step("balancer", "%s", c.url)
	return nil
}

// jobType is what there is to do.
const jobType = "text.upper"

func (c *cluster) defineType(ctx context.Context) error {
	_, err := c.api.JobTypes.Define(ctx, jobType, sdk.JobTypeDefinition{
		Description: "Upper-cases a text.",
		InputSchema: json.RawMessage(`{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]}`),
		Price:       sdk.Price{Base: "0.01", Units: map[string]sdk.UnitPrice{"kilobyte": {Price: "0.001", Max: 100}}},
		Lease:       sdk.Duration(5 * time.Second), // a lost one is given to another worker while one looks on
	})
	return err
}

// connect is a client that outlasts a failover.
func (c *cluster) connect(url, key string) (*sdk.Client, error) {
	return sdk.New(sdk.WithURL(url), sdk.WithKey(key), sdk.WithMaxAttempts(12), sdk.WithHTTPClient(http.DefaultClient))
}
