package api

import (
	"context"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/queue"
)

const defaultRunWait = 30 * time.Second

// run is POST /v1/run/{type}: the body is the input and the answer is the result. A run that takes longer than the wait
// is answered 503. With an Idempotency-Key the next try joins the same job; without one nobody could ever find the job
// again, so it is abandoned first: it ends, and its hold is released, before the answer goes out.
func (c *call) run() error {
	name := c.r.PathValue("type")
	if t, err := c.server.opt.Queue.Type(c.ctx, name); err == nil {
		if err := c.mayUse(t); err != nil {
			return err
		}
	}
	wait := c.query().duration("wait", defaultRunWait, maxWait)
	input, err := c.value(mustBeThere)
	if err != nil {
		return err
	}
	sub := queue.Submit{Jobs: []queue.Submission{{Type: name, Input: input, Metadata: emptyObject}}}
	if err := c.checkedJobs(sub); err != nil {
		return err
	}
	if err := c.mayWait(wait); err != nil {
		return err
	}
	jobs, replayed, err := c.submit(sub)
	if err != nil {
		return err
	}
	c.markReplayed(replayed)
	j, refusal := c.await(jobs[0], wait)
	if refusal != nil {
		j = jobs[0]
	}
	if !j.Status().Ended() && c.record.Key == "" {
		// The caller may have left or may no longer call; its job has to be abandoned all the same.
		server := access.WithCaller(context.WithoutCancel(c.ctx), nil)
		ctx, cancel := context.WithTimeout(server, c.server.opt.HandlerTimeout)
		defer cancel()
		if j, err = c.abandon(ctx, j.ID); err != nil {
			return err
		}
		if refusal == nil && j.Status() == tallygate.JobCancelled {
			return &tallygate.Error{
				Code: tallygate.ServiceUnavailable, RetryAfter: time.Second,
				Detail: "the job did not end within " + short(wait) + " and was cancelled; give more time with ?wait=, or send an Idempotency-Key so that the next try joins the same job",
			}
		}
	}
	if refusal != nil {
		return refusal
	}
	if !j.Status().Ended() {
		c.setHeader("X-Tallygate-Job-Id", slotJobID, string(j.ID))
		return &tallygate.Error{
			Code: tallygate.ServiceUnavailable, RetryAfter: time.Second,
			Detail: "the job " + string(j.ID) + " has not ended yet; repeat the request with the same Idempotency-Key to wait on",
		}
	}
	return c.sendResult(j)
}

// abandon ends a job that nobody will ask for, running or not, and charges nothing. One that has ended stays as it is.
func (c *call) abandon(ctx context.Context, id tallygate.JobID) (*tallygate.Job, error) {
	j, _, err := c.server.opt.Queue.Cancel(ctx, queue.Cancel{
		JobID: id, Client: c.caller.Client.ID, Actor: c.caller.Key.ID, Abandon: true,
	})
	return j, err
}
