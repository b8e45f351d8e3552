package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

// operator sets a server up through its API, as any operator would.
type operator struct {
	base string
	key  string
	http *http.Client
}

// What the scenarios work with.
const (
	jobType   = "bench.noop"
	jobPrice  = tallygate.Money(1_000)               // 0.001
	credited  = tallygate.Money(100_000_000_000_000) // 100 million to every client; no scenario spends it all
	batchSize = 1000
)

type limits struct {
	RequestsPerSecond int `json:"requests_per_second"`
	Burst             int `json:"burst"`
	RunningJobs       int `json:"running_jobs"`
	QueuedJobs        int `json:"queued_jobs"`
}

// wide limits never refuse a load.
func wide() limits {
	return limits{RequestsPerSecond: 1_000_000, Burst: 1_000_000, RunningJobs: 1_000_000, QueuedJobs: 100_000_000}
}

// narrow limits let one request pass in a second.
func narrow() limits {
	return limits{RequestsPerSecond: 1, Burst: 1, RunningJobs: 1, QueuedJobs: 1}
}

// A customer is a client of the server under load, with one key.
type customer struct {
	id  string
	key string
}

// defineJobType makes the no-op type, which workers pull and whose ended jobs
// are kept for so long; 0 stands for the server's default.
func (o *operator) defineJobType(ctx context.Context, kept time.Duration) error {
	definition := map[string]any{
		"description": "does nothing, for the bench",
		"price":       map[string]any{"base": jobPrice.String()},
		"executor":    map[string]any{"kind": "pull"},
	}
	if kept > 0 {
		definition["retention"] = kept.String()
	}
	return o.call(ctx, http.MethodPut, "/v1/job-types/"+jobType, definition, nil)
}

// newCustomer makes a client with limits, credit and a key.
func (o *operator) newCustomer(ctx context.Context, name string, within limits) (customer, error) {
	var client struct {
		ID string `json:"id"`
	}
	if err := o.call(ctx, http.MethodPost, "/v1/clients", map[string]any{"name": name, "limits": within}, &client); err != nil {
		return customer{}, err
	}
	credit := map[string]any{"amount": credited.String(), "note": "for the bench"}
	if err := o.call(ctx, http.MethodPost, "/v1/clients/"+client.ID+"/credits", credit, nil); err != nil {
		return customer{}, err
	}
	var made struct {
		Key string `json:"key"`
	}
	asked := map[string]any{"name": "bench", "permissions": []string{"jobs:write", "jobs:read", "account:read"}}
	if err := o.call(ctx, http.MethodPost, "/v1/clients/"+client.ID+"/api-keys", asked, &made); err != nil {
		return customer{}, err
	}
	return customer{id: client.ID, key: made.Key}, nil
}

// balance reads a client's posted and held money.
func (o *operator) balance(ctx context.Context, c customer) (posted, held tallygate.Money, err error) {
	var client struct {
		Balance struct {
			Posted string `json:"posted"`
			Held   string `json:"held"`
		} `json:"balance"`
	}
	if err := o.call(ctx, http.MethodGet, "/v1/clients/"+c.id, nil, &client); err != nil {
		return 0, 0, err
	}
	if posted, err = tallygate.ParseMoney(client.Balance.Posted); err != nil {
		return 0, 0, err
	}
	held, err = tallygate.ParseMoney(client.Balance.Held)
	return posted, held, err
}

// audit compares a client's balance with what its jobs must have made of it:
// charged jobs done and open ones held, each at the price of one.
func (o *operator) audit(ctx context.Context, c customer, done, open int64) error {
	posted, held, err := o.balance(ctx, c)
	if err != nil {
		return err
	}
	wantPosted, wantHeld := credited-jobPrice.Times(done), jobPrice.Times(open)
	if posted != wantPosted || held != wantHeld {
		return fmt.Errorf("after %d jobs charged and %d queued the balance must be posted %s, held %s, and is posted %s, held %s",
			done, open, wantPosted, wantHeld, posted, held)
	}
	return nil
}

// conserved is audit where it is not known how many of the jobs are done.
func (o *operator) conserved(ctx context.Context, c customer, jobs int64) error {
	posted, held, err := o.balance(ctx, c)
	if err != nil {
		return err
	}
	if want := credited - jobPrice.Times(jobs); posted-held != want {
		return fmt.Errorf("after %d jobs, charged or queued, %s must be available, and is %s", jobs, want, posted-held)
	}
	return nil
}

// queue submits n no-op jobs of a client in batches, two at a time, and calls
// added after each.
func (o *operator) queue(ctx context.Context, c customer, n int, added func(int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	as := operator{base: o.base, key: c.key, http: o.http}
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				size := min(left.Add(-batchSize)+batchSize, batchSize)
				if size <= 0 {
					return
				}
				if err := as.call(ctx, http.MethodPost, "/v1/jobs/batch", batchOf(int(size)), nil); err != nil {
					cancel(err)
					return
				}
				added(size)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func batchOf(n int) json.RawMessage {
	one := `{"type":"` + jobType + `","input":{}}`
	return json.RawMessage(`{"jobs":[` + strings.Repeat(one+",", n-1) + one + `]}`)
}

// call sends one request and reads its answer into out; without out, the
// answer is read and dropped. What it asks for is not measured, so a server
// with too much to do is asked again.
func (o *operator) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	once := rand.Text()
	for begin := time.Now(); ; {
		again, err := o.ask(ctx, method, path, once, body, out)
		if again == 0 || time.Since(begin) > patience {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ask is one try of call. With an error that will pass it says when to try again.
func (o *operator) ask(ctx context.Context, method, path, once string, body []byte, out any) (again time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, method, o.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Authorization", "Bearer "+o.key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodPost {
		request.Header.Set("Idempotency-Key", once)
	}
	got, err := o.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(got.Body, 500))
		err := fmt.Errorf("%s %s: %d %s", method, path, got.StatusCode, said)
		if seconds, bad := strconv.Atoi(got.Header.Get("Retry-After")); bad == nil && got.StatusCode == http.StatusServiceUnavailable {
			return max(time.Duration(seconds)*time.Second, time.Millisecond), err
		}
		return 0, err
	}
	if out != nil {
		if err := json.NewDecoder(got.Body).Decode(out); err != nil {
			return 0, fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	_, err = io.Copy(io.Discard, got.Body)
	return 0, err
}
