package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

// check tries what the cluster is for: work goes on without a node, without Redis and with another database server, and
// nothing of it is lost or paid twice.
func (c *cluster) check(ctx context.Context) error {
	customer, err := c.customer(ctx)
	if err != nil {
		return err
	}
	var all []string
	for _, trial := range []string{"", killNode, stopRedis, failOver} {
		if err := c.runTrial(ctx, trial); err != nil {
			return err
		}
		began := time.Now()
		ids, err := c.work(ctx, customer, len(all))
		if err != nil {
			return err
		}
		all = append(all, ids...)
		c.say("%d jobs submitted, done and paid in %v", len(ids), time.Since(began).Round(time.Millisecond))
		if err := c.allServe(ctx); err != nil {
			return err
		}
	}
	if err := settled(ctx, customer, all); err != nil {
		return err
	}
	c.say("all %d jobs are there, and each was paid once", len(all))
	if err := c.runTrial(ctx, proveLedger); err != nil {
		return err
	}
	c.say("it adds up")
	return nil
}

// allServe waits until the nodes that were killed serve again.
func (c *cluster) allServe(ctx context.Context) error { return c.serve(ctx, len(c.balancer.backends)) }

// someServe waits until a node does.
func (c *cluster) someServe(ctx context.Context) error { return c.serve(ctx, 1) }

func (c *cluster) serve(ctx context.Context, least int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		ready := 0
		for _, n := range c.balancer.backends {
			if n.ready.Load() {
				ready++
			}
		}
		if ready >= least {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d nodes are ready, not %d: %w", ready, least, ctx.Err())
		case <-time.After(askEvery):
		}
	}
}

// runTrial does in a shell what was printed.
func (c *cluster) runTrial(ctx context.Context, what string) error {
	for _, t := range c.trials() {
		if t.what != what {
			continue
		}
		c.say("%s", what)
		out, err := exec.CommandContext(ctx, "sh", "-ec", t.lines).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", what, err, out)
		}
	}
	return nil
}

// customer is a client of the cluster's with money, as it calls through the balancer.
func (c *cluster) customer(ctx context.Context) (*sdk.Client, error) {
	made, err := c.api.Clients.Create(ctx, sdk.NewClient{Name: "Check"})
	if err != nil {
		return nil, err
	}
	if _, err := c.api.Clients.Credit(ctx, made.ID, sdk.Credit{Amount: sdk.MoneyFromMicros(credit)}); err != nil {
		return nil, err
	}
	key, err := c.api.Clients.APIKeys.Create(ctx, made.ID, sdk.NewAPIKey{Name: "check", Permissions: []string{"preset:full"}})
	if err != nil {
		return nil, err
	}
	return c.connect(c.url, key.Key.Reveal())
}

const (
	jobs   = 10         // of each stage
	credit = 10_000_000 // millionths
	cost   = 11_000     // of a job: the base and a kilobyte
)

// work submits jobs through the balancer, numbered from the first on, and does them through the nodes that run, in turn.
func (c *cluster) work(ctx context.Context, customer *sdk.Client, first int) (ids []string, err error) {
	for i := range jobs {
		job, err := customer.Jobs.Submit(ctx, sdk.Submission{Type: jobType, Input: text{fmt.Sprintf("job %d", first+i)}})
		if err != nil {
			return nil, err
		}
		ids = append(ids, job.ID)
	}
	for done := 0; done < jobs; {
		if err := c.someServe(ctx); err != nil {
			return nil, err
		}
		for _, n := range c.balancer.backends {
			if !n.ready.Load() {
				continue
			}
			worker, err := c.connect("http://"+n.address, c.operator)
			if err != nil {
				return nil, err
			}
			settled, err := c.workOnce(ctx, worker)
			if err != nil {
				return nil, err
			}
			done += settled
		}
	}
	return ids, nil
}

// text is what a job of the cluster takes and gives.
type text struct {
	Text string `json:"text"`
}

// workOnce leases a few jobs at a node and reports them to the balancer.
func (c *cluster) workOnce(ctx context.Context, worker *sdk.Client) (done int, err error) {
	leased, err := worker.Worker.Lease(ctx, sdk.LeaseRequest{Types: []string{jobType}, Max: 3, Wait: sdk.Duration(time.Second), Worker: "check"})
	if err != nil {
		return 0, err
	}
	for _, l := range leased.Leases {
		var input text
		if err := json.Unmarshal(l.Job.Input, &input); err != nil {
			return done, err
		}
		report := sdk.Success{Token: l.Token, Result: text{strings.ToUpper(input.Text)}, Units: map[string]int64{"kilobyte": 1}}
		if _, err := c.api.Worker.Succeed(ctx, l.Job.ID, report); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// settled makes sure that every job ended well and that the client paid each of them once.
func settled(ctx context.Context, customer *sdk.Client, ids []string) error {
	for i, id := range ids {
		job, err := customer.Jobs.Get(ctx, id)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf(`{"text":"JOB %d"}`, i); job.Status != sdk.JobSucceeded || string(job.Result) != want {
			return fmt.Errorf("job %s is %s with the result %s, not %s", id, job.Status, job.Result, want)
		}
	}
	account, err := customer.Account.Get(ctx)
	if err != nil {
		return err
	}
	left := sdk.MoneyFromMicros(credit - int64(len(ids))*cost)
	if got := account.Balance; got.Posted != left || got.Held != "0.00" {
		return fmt.Errorf("the client has %s posted and %s held after %d jobs, not %s and nothing", got.Posted, got.Held, len(ids), left)
	}
	return nil
}
