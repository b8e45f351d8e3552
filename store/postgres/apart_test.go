package postgres

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/queue"
	"github.com/tallygate/tallygate/testserver"
)

// node is one of two whose own clocks differ.
type node struct {
	*testing.T
	store  *Store
	queue  *queue.Service
	access *access.Service
}

// apart are two nodes over one database whose own clocks differ by 30 seconds.
func apart(t *testing.T) (ahead, behind *node) {
	t.Helper()
	url := testserver.Postgres(t).Database(t)
	join := func(off time.Duration) *node {
		own := func() time.Time { return time.Now().Add(off) }
		s := open(t, Options{URL: url, local: own})
		n := &node{t, s, queue.New(s, queue.Options{Shared: s}), access.New(s, access.Options{Now: own, Clock: s.Clock, Currency: "USD"})}
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{}, 2)
		go func() { n.queue.Run(ctx); ended <- struct{}{} }()
		go func() { _ = n.access.Run(ctx); ended <- struct{}{} }()
		t.Cleanup(func() {
			stop()
			<-ended
			<-ended
		})
		return n
	}
	return join(20 * time.Second), join(-10 * time.Second)
}

// operator makes the operator, or finds it, and returns it with the text of its key.
func (n *node) operator() (*tallygate.Client, string) {
	n.Helper()
	text, _, err := n.access.Bootstrap(n.Context(), "")
	if err != nil {
		n.Fatal(err)
	}
	var operator *tallygate.Client
	err = n.store.View(n.Context(), func(tx tallygate.Tx) (err error) {
		operator, err = tx.Client(tallygate.OperatorClientID)
		return err
	})
	if err != nil {
		n.Fatal(err)
	}
	return operator, text
}

// lease waits for the one job that there is, and returns when it came.
func (n *node) lease() (queue.Lease, time.Time) {
	n.Helper()
	leases, err := n.queue.Lease(n.Context(), queue.LeaseRequest{Types: []string{"x"}, Max: 2, Wait: time.Minute})
	if err != nil || len(leases) != 1 {
		n.Fatalf("%d leases, %v", len(leases), err)
	}
	return leases[0], time.Now()
}

// late is how much later than its time something may be seen on a busy machine. Clocks that were believed would be off
// by more.
const late = 8 * time.Second

// timely makes sure that something was seen when its time had come.
func (n *node) timely(what string, due, seen time.Time) {
	n.Helper()
	if early := due.Sub(seen); early > 50*time.Millisecond || early < -late {
		n.Errorf("%s was due at %v and seen at %v", what, due, seen)
	}
}

func TestNodesWhoseClocksDifferAgreeOnTimes(t *testing.T) {
	t.Parallel()
	ahead, behind := apart(t)
	operator, _ := ahead.operator()
	def := queue.Defaults()
	def.Name, def.Lease = "x", time.Second
	if _, err := ahead.queue.DefineType(t.Context(), def, ""); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]*node{{ahead, behind}, {behind, ahead}} {
		here, there := pair[0], pair[1]

		// A job that waits for its time begins then, wherever it was submitted, and is taken over when its lease ends.
		due := time.Now().Add(time.Second)
		job := queue.Submission{Type: "x", Input: []byte("{}"), Metadata: []byte("{}"), RunAt: due}
		if _, _, err := here.queue.Submit(t.Context(), queue.Submit{Client: operator, Jobs: []queue.Submission{job}}); err != nil {
			t.Fatal(err)
		}
		lease, began := there.lease()
		there.timely("run_at", due, began)
		there.timely("the end of a lease of 1s that began then", due.Add(time.Second), lease.ExpiresAt)
		there.timely("the latest end of a lease of 1s", lease.ExpiresAt, began.Add(time.Second))
		again, taken := here.lease()
		here.timely("the end of a lease", lease.ExpiresAt, taken)

		report := queue.Report{JobID: lease.Job.ID, Token: lease.Token, Outcome: queue.Succeeded, Result: []byte("{}")}
		results, _, err := there.queue.Report(t.Context(), []queue.Report{report}, nil)
		if err != nil || !tallygate.IsCode(results[0], tallygate.InvalidRequest) {
			t.Errorf("a report under the lease that has ended: %v, %v", results, err)
		}
		report.Token = again.Token
		if results, _, err = here.queue.Report(t.Context(), []queue.Report{report}, nil); err != nil || results[0] != nil {
			t.Errorf("a report under the lease that holds: %v, %v", results, err)
		}
	}
}

func TestNodesWhoseClocksDifferAgreeOnTheEndOfKeys(t *testing.T) {
	t.Parallel()
	ahead, behind := apart(t)
	_, text := ahead.operator()
	from := netip.MustParseAddr("192.0.2.1")
	authenticate := func(n *node, text string) (*access.Caller, error) {
		return n.access.Authenticate(t.Context(), []string{"Bearer " + text}, nil, from)
	}
	operator, err := authenticate(ahead, text)
	if err != nil {
		t.Fatal(err)
	}
	var short string
	expires := time.Now().Add(time.Second)
	_, err = ahead.access.CreateKey(t.Context(), access.Mutation{Actor: operator}, tallygate.OperatorClientID,
		access.NewKey{Name: "short", Permissions: []string{"account:read"}, ExpiresAt: expires}, func(_ *tallygate.APIKey, text string) []byte {
			if text != "" {
				short = text
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
	accepted, refused := map[*node]int{}, map[*node]bool{}
	for len(refused) < 2 {
		for _, n := range []*node{ahead, behind} {
			asked := time.Now()
			_, err := authenticate(n, short)
			switch {
			case refused[n]:
			case err != nil:
				refused[n] = true
				if n.timely("the end of a key", expires, time.Now()); !tallygate.IsCode(err, tallygate.ExpiredAPIKey) {
					t.Errorf("a key past its end: %v", err)
				}
			case asked.After(expires.Add(50 * time.Millisecond)):
				t.Fatalf("a key that ended at %v was accepted at %v", expires, asked)
			default:
				accepted[n]++
			}
		}
	}
	if len(accepted) < 2 {
		t.Errorf("the key was accepted by %d nodes of two before its end", len(accepted))
	}
}
