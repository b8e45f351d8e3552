package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/access"
	"github.com/tallygate/tallygate/queue"
)

// Bounds of what a submit may name.
const (
	maxTypeName     = 100
	maxPriority     = 1000
	maxMetadata     = 16 << 10
	maxBatch        = 1000
	maxWait         = 5 * time.Minute
	longestTime     = 10 * 366 * 24 * time.Hour
	shortestJobTime = 100 * time.Millisecond
)

// submission reads what is submitted.
func (o *object) submission() queue.Submission {
	sub := queue.Submission{
		Type:      o.requiredText("type", maxTypeName),
		Input:     o.required("input"),
		Priority:  o.integer("priority", 0, -maxPriority, maxPriority),
		RunAt:     o.time("run_at"),
		TimeLimit: o.duration("time_limit", 0, shortestJobTime, longestTime),
		Metadata:  o.rawObject("metadata", maxMetadata),
	}
	if sub.Metadata == nil {
		sub.Metadata = emptyObject
	}
	if cost, ok := o.money("max_cost"); ok {
		if cost < 0 {
			o.invalid("max_cost", "must not be negative")
		}
		sub.MaxCost = &cost
	}
	if o.optional("webhook_url") != nil {
		o.invalid("webhook_url", "must be null: this server delivers no webhooks")
	}
	return sub
}

// submitJob is POST /v1/jobs.
func (c *call) submitJob() error {
	wait := c.query().duration("wait", 0, maxWait)
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	subs := []queue.Submission{o.submission()}
	if err := c.checkedJobs(queue.Submit{Jobs: subs}); err != nil {
		return err
	}
	if err := c.mayWait(wait); err != nil {
		return err
	}
	jobs, replayed, err := c.submit(queue.Submit{Jobs: subs})
	if err != nil {
		return err
	}
	c.markReplayed(replayed)
	// From here on the job exists: whatever happens, the answer is the job as it is known. A caller that may no longer
	// call learns no more than that it was accepted.
	j, err := c.await(jobs[0], wait)
	if err != nil {
		j = jobs[0]
	}
	return c.sendJob(j)
}

// checkedJobs is checked for a request that asks for jobs: the faults of their inputs are reported together with its
// own, and before any of them that a type is not open to the client. Where the request has no faults of its own it
// leaves the rest to the queue, which checks the same.
func (c *call) checkedJobs(sub queue.Submit) error {
	c.checkRest()
	if !c.faults.any() {
		return nil
	}
	known := map[string]bool{}
	for i := range sub.Jobs {
		name := sub.Jobs[i].Type
		if _, looked := known[name]; looked {
			continue
		}
		t, err := c.server.opt.Queue.Type(c.ctx, name)
		if known[name] = err == nil; err != nil {
			continue
		}
		if err := c.mayUse(t); err != nil {
			return err
		}
	}
	for i := range sub.Jobs {
		j := &sub.Jobs[i]
		if !known[j.Type] || j.Input == nil {
			continue
		}
		if _, err := c.server.opt.Queue.Quote(c.ctx, c.caller.Client, *j); err != nil {
			if sub.Batch {
				err = within("/jobs/"+strconv.Itoa(i), err)
			}
			c.faults.join(err)
		}
	}
	return c.faults.err()
}

// within places the faults of one job in its batch.
func within(at string, err error) error {
	e := *tallygate.AsError(err)
	if strings.HasPrefix(e.Detail, "/") {
		e.Detail = at + strings.ReplaceAll(e.Detail, "; /", "; "+at+"/")
	}
	return &e
}

// mayUse refuses a type that is not open to the caller.
func (c *call) mayUse(t *tallygate.JobType) error {
	if c.caller.Operator() || t.OpenTo(c.caller.Client.ID) {
		return nil
	}
	return tallygate.Errorf(tallygate.AuthorizationFailed, "job type %s is not open to this client", t.Name)
}

// submitBatch is POST /v1/jobs/batch.
func (c *call) submitBatch() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	var subs []queue.Submission
	if list := o.required("jobs"); list != nil {
		values, ok := elements(list, maxBatch)
		if !ok || len(values) == 0 {
			o.invalid("jobs", "must be a list of 1 to %d jobs", maxBatch)
			values = nil
		}
		subs = make([]queue.Submission, 0, len(values))
		for i, value := range values {
			at := "/jobs/" + strconv.Itoa(i)
			one, ok := newObject(&c.faults, at, value)
			if !ok {
				c.faults.invalid(at, "must be an object")
				subs = append(subs, queue.Submission{}) // each stands at its place in the list
				continue
			}
			subs = append(subs, one.submission())
			one.done()
		}
	}
	batch := queue.Submit{Jobs: subs, Batch: true}
	if err := c.checkedJobs(batch); err != nil {
		return err
	}
	jobs, replayed, err := c.submit(batch)
	if err != nil {
		return err
	}
	c.markReplayed(replayed)
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"data":`...)
		b = appendList(b, jobs, c.server.appendJob)
		return append(b, '}')
	})
}

// submit hands the jobs to the queue, all or none, within the handler's time limit.
func (c *call) submit(sub queue.Submit) (jobs []*tallygate.Job, replayed bool, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.server.opt.HandlerTimeout)
	defer cancel()
	if costs := c.typeCosts(ctx, sub.Jobs); len(costs) > 0 {
		sub.Admit = func() error {
			decision, err := c.server.opt.Access.LimitTypes(ctx, c.caller, costs)
			c.tighten(decision)
			return err
		}
	}
	sub.Client = c.caller.Client
	sub.Actor = c.caller.Key.ID
	sub.Idempotency = c.record
	return c.server.opt.Queue.Submit(ctx, sub)
}

// typeCosts counts the jobs of each type that has a limit of its own for each client. Types that do not exist are the
// queue's to refuse.
func (c *call) typeCosts(ctx context.Context, subs []queue.Submission) (costs []access.TypeCost) {
	if c.caller.Operator() {
		return nil
	}
	counts := make(map[string]int64, 1)
	for i := range subs {
		counts[subs[i].Type]++
	}
	for name, n := range counts {
		if t, err := c.server.opt.Queue.Type(ctx, name); err == nil && !t.Rate.Unlimited() {
			costs = append(costs, access.TypeCost{Type: t, Cost: n})
		}
	}
	return costs
}

// await waits at most d for the job's end and returns the job as it is then known. The wait ends early with the
// caller's connection and with the drain. Its only error is that the caller may not wait, or may no longer call.
func (c *call) await(j *tallygate.Job, d time.Duration) (*tallygate.Job, error) {
	if d <= 0 || j.Status().Ended() {
		return j, nil
	}
	if err := c.mayWait(d); err != nil {
		return nil, err
	}
	ctx, done := c.park(d)
	later, err := c.server.opt.Queue.Wait(ctx, j.ID, d)
	done()
	if err != nil && !access.Refused(err) {
		later, err = c.server.opt.Queue.Job(access.Parked(c.ctx), j.ID)
	}
	switch {
	case err == nil:
		return later, nil
	case access.Refused(err):
		return nil, err
	}
	return j, nil
}

func (c *call) sendJob(j *tallygate.Job) error {
	return c.sendWith(func(b []byte) []byte { return c.server.appendJob(b, j) })
}

// job finds the job that the path names. One of another client is not found, except by operators.
func (c *call) job() (*tallygate.Job, error) {
	id := tallygate.JobID(c.r.PathValue("id"))
	if !tallygate.ValidID(tallygate.JobPrefix, string(id)) {
		return nil, jobNotFound(id)
	}
	j, err := c.server.opt.Queue.Job(c.ctx, id)
	if tallygate.IsCode(err, tallygate.JobNotFound) || (err == nil && !c.sees(j.ClientID)) {
		return nil, jobNotFound(id)
	}
	return j, err
}

// sees reports whether the caller may read what belongs to the client.
func (c *call) sees(owner tallygate.ClientID) bool {
	return owner == c.caller.Client.ID || c.caller.Operator()
}

func jobNotFound(id tallygate.JobID) error {
	return tallygate.Errorf(tallygate.JobNotFound, "no job of yours has the id %s", quoted(shown(string(id))))
}

// getJob is GET /v1/jobs/{id}.
func (c *call) getJob() error {
	wait := c.query().duration("wait", 0, maxWait)
	if err := c.checked(); err != nil {
		return err
	}
	j, err := c.job()
	if err != nil {
		return err
	}
	if j, err = c.await(j, wait); err != nil {
		return err
	}
	return c.sendJob(j)
}

// getResult is GET /v1/jobs/{id}/result.
func (c *call) getResult() error {
	if err := c.checked(); err != nil {
		return err
	}
	j, err := c.job()
	if err != nil {
		return err
	}
	return c.sendResult(j)
}

// sendResult answers with the bare result of a job that succeeded, or with the error that stands for it.
func (c *call) sendResult(j *tallygate.Job) error {
	c.setHeader("X-Tallygate-Job-Id", slotJobID, string(j.ID))
	switch status := j.Status(); status {
	case tallygate.JobSucceeded:
		return c.send(appendRaw(nil, j.Outcome.Result, "null"))
	case tallygate.JobFailed:
		e := &tallygate.Error{Code: tallygate.ProcessingFailed, Final: true}
		if failure := j.Outcome.Error; failure != nil {
			e.Code, e.Detail = failure.Code, failure.Message
		}
		return e
	case tallygate.JobCancelled:
		return tallygate.Errorf(tallygate.InvalidRequest, "the job %s was cancelled and has no result", j.ID)
	default:
		return tallygate.Errorf(tallygate.InvalidRequest, "the job %s is %s: ask for its result once it has succeeded", j.ID, status)
	}
}

var statuses = []tallygate.JobStatus{
	tallygate.JobQueued, tallygate.JobRunning, tallygate.JobSucceeded, tallygate.JobFailed, tallygate.JobCancelled,
}

// listJobs is GET /v1/jobs.
func (c *call) listJobs() error {
	q := c.query()
	filter := tallygate.JobFilter{
		ClientID:      c.caller.Client.ID,
		CreatedAfter:  q.time("created_after"),
		CreatedBefore: q.time("created_before"),
		Metadata:      q.members("metadata"),
	}
	filter.Type, _ = q.get("type")
	if status, ok := q.get("status"); ok {
		filter.Status = tallygate.JobStatus(status)
		if !slices.Contains(statuses, filter.Status) {
			c.faults.invalid("status", "must be one of queued, running, succeeded, failed, cancelled, not %s", quoted(shown(status)))
		}
	}
	if c.caller.Operator() {
		filter.ClientID = tallygate.ClientID(q.id("client_id", tallygate.ClientPrefix))
	}
	scope := fmt.Sprint(filter) // Sprint sorts the map
	page := q.page(jobList, scope)
	if err := c.checked(); err != nil {
		return err
	}
	jobs, next, err := c.server.opt.Queue.Jobs(c.ctx, filter, page)
	if err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte {
		return appendPage(b, jobs, encodeCursor(jobList, scope, next), c.server.appendJob)
	})
}

// cancelJob is POST /v1/jobs/{id}/cancel.
func (c *call) cancelJob() error {
	if _, err := c.object(mayBeEmpty); err != nil {
		return err
	}
	if err := c.checked(); err != nil {
		return err
	}
	j, err := c.job() // an operator may cancel what it may read
	if err != nil {
		return err
	}
	j, replayed, err := c.server.opt.Queue.Cancel(c.ctx, queue.Cancel{
		JobID: j.ID, Client: j.ClientID, Actor: c.caller.Key.ID, Idempotency: c.record,
	})
	if err != nil {
		return err
	}
	c.markReplayed(replayed)
	return c.sendJob(j)
}
