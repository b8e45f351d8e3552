// Package redis keeps the arrival times of rate limits in one Redis (5 or newer) or Valkey that many nodes share. It
// holds the script that decides and the way to the server; what a limit is and what happens when the server fails is
// package ratelimit's.
//
// It needs a single primary, by itself or behind Sentinel. A Redis Cluster is refused: the keys of one decision lie in
// several of its slots.
package redis

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/tallygate/tallygate/ratelimit"
)

// Options are what a shared limiter depends on. Those that are zero have a working default.
type Options struct {
	Nodes   func() int    // that live, this one included, for while the server can't be asked; it must not block. None: one
	MaxKeys int           // remembered in this process
	Prefix  string        // of every key; "tallygate:"
	Timeout time.Duration // of a decision by the server; 100 ms
	Log     *slog.Logger
}

const defaultPrefix = "tallygate:"

// ErrCluster refuses a Redis Cluster.
var ErrCluster = errors.New("the limiter's server is part of a Redis Cluster, which can't decide about several keys at once; " +
	"name a single primary")

// Open returns a limiter that shares its limits through the server of the URL: redis:// or valkey://, rediss:// or
// valkeys:// for TLS, unix://; with ?master_name=… the hosts are Sentinels. An error says that the URL is malformed or
// that the server is a cluster's. One that can't be reached is none: the limiter starts with the node's share, says so in
// the log, and shares when it can.
func Open(ctx context.Context, text string, opt Options) (*ratelimit.Shared, error) {
	remote, err := dial(text, opt.Prefix)
	if err != nil {
		return nil, err
	}
	shared := ratelimit.NewShared(ctx, remote, ratelimit.SharedOptions{
		Nodes: opt.Nodes, MaxKeys: opt.MaxKeys, Timeout: opt.Timeout, Log: opt.Log,
	})
	if errors.Is(shared.State().Err, ErrCluster) {
		_ = shared.Close()
		return nil, ErrCluster
	}
	return shared, nil
}

//go:embed take.lua
var take string

// lanes is how many round trips are under way at once, each on its own connection. Calls that come meanwhile wait and
// share the next one: at 64 callers that is a third of the work of a round trip for each.
const (
	lanes   = 4
	largest = 128 // calls in one round trip
)

// remote is the way to the server.
type remote struct {
	prefix  string
	secrets []string // never to be shown
	script  string
	hash    string // by which the server knows the script
	fresh   func() *goredis.Client
	client  atomic.Pointer[goredis.Client]

	mu      sync.Mutex
	waiting []*ask // for a lane
	busy    int    // lanes
	idle    *sync.Cond
	closed  bool
}

var _ ratelimit.Remote = (*remote)(nil)

// silence keeps the library from writing to the standard error: what matters of it reaches the callers as errors.
var silence sync.Once

// dial returns the way to the server of the URL. It does not connect yet.
func dial(text, prefix string) (*remote, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errURL
	}
	fresh, err := clients(u)
	if err != nil {
		return nil, err
	}
	if prefix == "" {
		prefix = defaultPrefix
	}
	silence.Do(logging.Disable)
	r := &remote{prefix: prefix, secrets: secrets(u), fresh: fresh}
	r.idle = sync.NewCond(&r.mu)
	r.use(take)
	r.client.Store(fresh())
	return r, nil
}

// use sets the script that decides.
func (r *remote) use(script string) {
	r.script, r.hash = script, goredis.NewScript(script).Hash()
}

// ask is one decision on its way.
type ask struct {
	ctx   context.Context
	args  []any // of the command; the first two are set when it is sent
	cmd   *goredis.Cmd
	reply []any
	err   error
	done  chan struct{}
}

// Take has the server decide.
func (r *remote) Take(ctx context.Context, demands []ratelimit.Demand) (passed bool, ahead []int64, err error) {
	a := &ask{ctx: ctx, args: r.args(demands), done: make(chan struct{})}
	if err := r.send(a); err != nil {
		return false, nil, r.hide(err)
	}
	return read(a.reply, len(demands))
}

// hide takes the passwords out of an error: a server that does not know a command tells its arguments.
func (r *remote) hide(err error) error {
	text := err.Error()
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "…")
	}
	if text == err.Error() {
		return err
	}
	return errors.New(text)
}

// args are the command's, with room for its name and the script's.
func (r *remote) args(demands []ratelimit.Demand) []any {
	args := make([]any, 0, 3+9*len(demands))
	args = append(args, nil, nil, len(demands))
	for i := range demands {
		args = append(args, r.prefix+demands[i].Key)
	}
	for i := range demands {
		d := &demands[i]
		for _, nanoseconds := range [...]int64{d.Cost, d.Room, d.Tolerance, d.Floor} {
			s, n := split(nanoseconds)
			args = append(args, s, n)
		}
	}
	return args
}

const second = int64(time.Second)

// split gives the whole seconds and from 0 to below 1e9 nanoseconds more.
func split(nanoseconds int64) (s, n int64) {
	if s, n = nanoseconds/second, nanoseconds%second; n < 0 {
		return s - 1, n + second
	}
	return s, n
}

var errReply = errors.New("the limiter's server answers what the script does not say")

// read is the reply of the script about so many demands.
func read(reply []any, demands int) (passed bool, ahead []int64, err error) {
	if len(reply) != 1+2*demands {
		return false, nil, errReply
	}
	verdict, ok := reply[0].(int64)
	if !ok || verdict < 0 || verdict > 1 {
		return false, nil, errReply
	}
	ahead = make([]int64, demands)
	for i := range ahead {
		s, ok := reply[1+2*i].(int64)
		n, also := reply[2+2*i].(int64)
		if !ok || !also || s < 0 || s > 1<<32 || n < 0 || n >= second {
			return false, nil, errReply
		}
		ahead[i] = s*second + n
	}
	return verdict == 1, ahead, nil
}

var errClosed = errors.New("the limiter is closed")

// send takes a free lane for the decision, or waits for others to take it along, at most until its deadline.
func (r *remote) send(a *ask) error {
	r.mu.Lock()
	switch {
	case r.closed:
		r.mu.Unlock()
		return errClosed
	case r.busy < lanes:
		r.busy++
		r.mu.Unlock()
		r.carry([]*ask{a})
		if batch := r.next(); batch != nil {
			go r.carryOn(batch) // this caller has its answer and does not wait for the others'
		}
		return a.err
	}
	r.waiting = append(r.waiting, a)
	r.mu.Unlock()
	select {
	case <-a.done:
		return a.err
	case <-a.ctx.Done():
		r.leave(a)
		return a.ctx.Err()
	}
}

// carryOn uses the lane until nobody waits for one.
func (r *remote) carryOn(batch []*ask) {
	for ; batch != nil; batch = r.next() {
		r.carry(batch)
	}
}

// next takes from those who wait what the lane carries next, or gives the lane back.
func (r *remote) next() []*ask {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.busy--
		r.idle.Broadcast()
		return nil
	}
	size := min(len(r.waiting), largest)
	batch := slices.Clone(r.waiting[:size])
	r.waiting = slices.Delete(r.waiting, 0, size)
	return batch
}

// leave takes back a decision that nobody waits for any more, if it is not yet on its way.
func (r *remote) leave(a *ask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.waiting, a); i >= 0 {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	}
}

// carry takes decisions to the server in one round trip and tells each its answer.
func (r *remote) carry(batch []*ask) {
	client := r.client.Load()
	if err := r.exchange(client, batch); err != nil {
		for _, a := range batch {
			a.err = err
		}
	}
	failed := false
	for _, a := range batch {
		failed = failed || a.err != nil
		close(a.done)
	}
	if failed {
		r.renew(client)
	}
}

// renew drops the connections of a client that failed, with whatever is still to come over them: the next ones may
// lead to another server, as after a failover.
func (r *remote) renew(failed *goredis.Client) {
	fresh := r.fresh()
	r.mu.Lock()
	if !r.closed && r.client.CompareAndSwap(failed, fresh) {
		fresh = failed
	}
	r.mu.Unlock()
	_ = fresh.Close() // whichever is not used
}

// exchange runs the script for each of the batch, and once more for those who find that the server has forgotten it.
// The error is of all of them; those of one are in it.
func (r *remote) exchange(client *goredis.Client, batch []*ask) (err error) {
	defer func() {
		if p := recover(); p != nil { // a client that reads what is no answer, in this goroutine
			err = fmt.Errorf("%w: %v", errReply, p)
		}
	}()
	if unknown := run(client, batch, "EVALSHA", r.hash); len(unknown) > 0 {
		run(client, unknown, "EVAL", r.script) // after which the server knows it
	}
	return nil
}

// run sends the batch with the command that names the script, and returns those who are told that the server does not
// know it.
func run(client *goredis.Client, batch []*ask, command, script string) (unknown []*ask) {
	ctx := batch[len(batch)-1].ctx // of who came last, and can wait longest; who can't leaves by itself
	pipe := client.Pipeline()
	for _, a := range batch {
		a.args[0], a.args[1] = command, script
		a.cmd = pipe.Do(ctx, a.args...)
	}
	_, err := pipe.Exec(ctx)
	for _, a := range batch {
		if a.reply, _ = a.cmd.Val().([]any); a.reply != nil {
			a.err = nil
			continue
		}
		// A command that was never sent bears no error of its own.
		a.err = cmp.Or(a.cmd.Err(), err, errReply)
		switch text := a.err.Error(); {
		case strings.HasPrefix(text, "NOSCRIPT "):
			unknown = append(unknown, a)
		case clustered(text):
			a.err = fmt.Errorf("%w: %w", ErrCluster, a.err)
		}
	}
	return unknown
}

func clustered(message string) bool {
	for _, prefix := range [...]string{"CROSSSLOT ", "MOVED ", "ASK ", "CLUSTERDOWN "} {
		if strings.HasPrefix(message, prefix) {
			return true
		}
	}
	return false
}

// Close ends the connections, and returns when nobody uses them.
func (r *remote) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	err := r.client.Load().Close()
	for r.busy > 0 {
		r.idle.Wait()
	}
	return err
}
