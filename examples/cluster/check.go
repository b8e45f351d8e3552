package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/client"
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
func (c *cluster) customer(ctx context.Context) (*client.Client, error) {
	var made struct {
		ID  string `json:"id"`
		Key string `json:"key"`
	}
	if err := c.api.Do(ctx, "POST", "/v1/clients", nil, map[string]any{"name": "Check"}, &made); err != nil {
		return nil, err
	}
	path := "/v1/clients/" + url.PathEscape(made.ID)
	if err := c.api.Do(ctx, "POST", path+"/credits", nil, map[string]any{"amount": tallygate.Money(credit).String()}, nil); err != nil {
		return nil, err
	}
	if err := c.api.Do(ctx, "POST", path+"/api-keys", nil, map[string]any{"name": "check", "permissions": []string{"preset:full"}}, &made); err != nil {
		return nil, err
	}
	customer := *c.api
	customer.Key = made.Key
	return &customer, nil
}

const (
	jobs   = 10         // of each stage
	credit = 10_000_000 // millionths
	cost   = 11_000     // of a job: the base and a kilobyte
)

// work submits jobs through the balancer, numbered from the first on, and does them through the nodes that run, in turn.
func (c *cluster) work(ctx context.Context, customer *client.Client, first int) (ids []string, err error) {
	for i := range jobs {
		var job struct {
			ID string `json:"id"`
		}
		input := map[string]any{"text": fmt.Sprintf("job %d", first+i)}
		if err := customer.Do(ctx, "POST", "/v1/jobs", nil, map[string]any{"type": jobType, "input": input}, &job); err != nil {
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
			worker := *c.api
			worker.BaseURL = "http://" + n.address
			settled, err := c.workOnce(ctx, &worker)
			if err != nil {
				return nil, err
			}
			done += settled
		}
	}
	return ids, nil
}

// workOnce leases a few jobs at a node and reports them to the balancer.
func (c *cluster) workOnce(ctx context.Context, worker *client.Client) (done int, err error) {
	var leased struct {
		Leases []struct {
			Token string `json:"token"`
			Job   struct {
				ID    string `json:"id"`
				Input struct {
					Text string `json:"text"`
				} `json:"input"`
			} `json:"job"`
		} `json:"leases"`
	}
	ask := map[string]any{"types": []string{jobType}, "max": 3, "wait": "1s", "worker": "check"}
	if err := worker.Do(ctx, "POST", "/v1/worker/lease", nil, ask, &leased); err != nil {
		return 0, err
	}
	for _, l := range leased.Leases {
		report := map[string]any{"token": l.Token, "result": map[string]any{"text": strings.ToUpper(l.Job.Input.Text)}, "units": map[string]int{"kilobyte": 1}}
		if err := c.api.Do(ctx, "POST", "/v1/worker/jobs/"+url.PathEscape(l.Job.ID)+"/succeed", nil, report, nil); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// settled makes sure that every job ended well and that the client paid each of them once.
func settled(ctx context.Context, customer *client.Client, ids []string) error {
	for i, id := range ids {
		var job struct {
			Status string          `json:"status"`
			Result json.RawMessage `json:"result"`
		}
		if err := customer.Do(ctx, "GET", "/v1/jobs/"+url.PathEscape(id), nil, nil, &job); err != nil {
			return err
		}
		if want := fmt.Sprintf(`{"text":"JOB %d"}`, i); job.Status != "succeeded" || string(job.Result) != want {
			return fmt.Errorf("job %s is %s with the result %s, not %s", id, job.Status, job.Result, want)
		}
	}
	var account struct {
		Balance struct {
			Posted string `json:"posted"`
			Held   string `json:"held"`
		} `json:"balance"`
	}
	if err := customer.Do(ctx, "GET", "/v1/account", nil, nil, &account); err != nil {
		return err
	}
	left := credit - tallygate.Money(len(ids))*cost
	if got := account.Balance; got.Posted != left.String() || got.Held != tallygate.Money(0).String() {
		return fmt.Errorf("the client has %s posted and %s held after %d jobs, not %s and nothing", got.Posted, got.Held, len(ids), left)
	}
	return nil
}
