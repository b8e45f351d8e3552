package tallygate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// longPoll is how long one request of a wait asks the server to hold its answer.
const longPoll = 30 * time.Second

// Wait waits until the job has ended, whichever way, and returns it. It outlasts failures as every call does. Past
// [WithTimeLimit] it returns a [*WaitTimeoutError] with the job as last known; with [WithCancelOnTimeout] the job is
// cancelled first, and returned if it had ended by itself. [WithProgress] and [WithLogs] tell how the job goes on.
func (j *Jobs) Wait(ctx context.Context, id string, options ...CallOption) (*Job, error) {
	w := j.client.newWaiting(options)
	job, _, err := w.untilEnd(ctx, id)
	return job, err
}

// Run submits a job, waits until it has ended and returns its result. A job that failed is the error of its code; one that
// was cancelled a [*JobCancelledError]. The options are those of Jobs.Submit and Jobs.Wait.
func (c *Client) Run(ctx context.Context, jobType string, input any, options ...CallOption) (json.RawMessage, error) {
	w := c.newWaiting(options)
	job, attempts, err := w.submit(ctx, Submission{Type: jobType, Input: input})
	if err != nil {
		return nil, err
	}
	if !job.Status.Ended() {
		w.last = job
		if job, attempts, err = w.untilEnd(ctx, job.ID); err != nil {
			return nil, err
		}
	}
	switch job.Status {
	case JobSucceeded:
		return job.Result, nil
	case JobCancelled:
		return nil, &JobCancelledError{Job: job}
	}
	failure := &Error{Code: CodeProcessingFailed, Message: "the job failed", Status: http.StatusInternalServerError, Attempts: attempts}
	if job.Error != nil {
		failure.Code, failure.Message = job.Error.Code, job.Error.Message
	}
	return nil, typed(failure)
}

// Run is [Client.Run] with the result decoded into a T.
func Run[T any](ctx context.Context, c *Client, jobType string, input any, options ...CallOption) (T, error) {
	var result T
	raw, err := c.Run(ctx, jobType, input, options...)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, fmt.Errorf("tallygate: the result of %s is no %T: %w", jobType, result, err)
	}
	return result, nil
}

// Result is [Jobs.Result] decoded into a T.
func Result[T any](ctx context.Context, c *Client, id string, options ...CallOption) (T, error) {
	var result T
	raw, err := c.Jobs.Result(ctx, id, options...)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(raw, &result); err != nil {
		return result, fmt.Errorf("tallygate: the result of %s is no %T: %w", id, result, err)
	}
	return result, nil
}

// waiting is a wait for one job.
type waiting struct {
	client *Client
	call   *call
	end    time.Time // zero: none
	last   *Job      // as last known
	told   float64   // the last progress that was told; negative: none
}

func (c *Client) newWaiting(options []CallOption) *waiting {
	w := &waiting{client: c, call: c.newCall(options), told: -1}
	if w.call.timeLimit > 0 {
		w.end = time.Now().Add(w.call.timeLimit)
	}
	return w
}

// left is what is left of the time limit, and whether there is one.
func (w *waiting) left() (time.Duration, bool) {
	if w.end.IsZero() {
		return 0, false
	}
	return time.Until(w.end), true
}

// next is how long the next request asks the server to wait, and its own limits.
func (w *waiting) next() (wait time.Duration, one *call) {
	own := *w.call
	wait = longPoll
	if left, bounded := w.left(); bounded {
		wait = min(wait, max(time.Second, (left+time.Second-1).Truncate(time.Second)))
		if own.limits.deadline == 0 || left < own.limits.deadline {
			own.limits.deadline = max(1, left)
		}
	}
	return wait, &own
}

// submit submits the job. Where its progress is to be told, the wait begins after that.
func (w *waiting) submit(ctx context.Context, job Submission) (*Job, int, error) {
	wait, one := w.next()
	if w.tells() {
		wait = 0
	}
	into := new(Job)
	attempts, err := w.client.do(ctx, submitRequest(job, wait), one, into)
	if err != nil {
		return nil, attempts, err
	}
	w.tell(into.Progress)
	return into, attempts, nil
}

func (w *waiting) tells() bool { return w.call.onProgress != nil || w.call.onLog != nil }

// tell passes a progress on that differs from the last.
func (w *waiting) tell(progress *float64) {
	if progress == nil || *progress == w.told || w.call.onProgress == nil {
		return
	}
	w.told = *progress
	w.call.onProgress(w.told)
}

// untilEnd asks for the job until it has ended; attempts are those of the last call.
func (w *waiting) untilEnd(ctx context.Context, id string) (job *Job, attempts int, err error) {
	if w.tells() {
		w.follow(ctx, id)
	}
	for {
		if left, bounded := w.left(); bounded && left <= 0 && w.last != nil {
			job, err := w.giveUp(ctx, id)
			return job, 1, err
		}
		wait, one := w.next()
		job := new(Job)
		attempts, err := w.client.do(ctx, getRequest(id, wait), one, job)
		if err != nil {
			return nil, attempts, err
		}
		w.last = job
		w.tell(job.Progress)
		if job.Status.Ended() {
			return job, attempts, nil
		}
	}
}

// follow tells what the job's events say, until it has ended, the time is up, or the stream is not to be had.
func (w *waiting) follow(ctx context.Context, id string) {
	if left, bounded := w.left(); bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	one := *w.call
	one.answer, one.lastEventID = nil, ""
	for event, err := range w.client.events(ctx, id, &one) {
		if err != nil {
			return // the job is asked for instead
		}
		if progress, ok := event.Progress(); ok {
			w.tell(&progress)
		}
		if line, ok := event.Log(); ok && w.call.onLog != nil {
			w.call.onLog(line)
		}
	}
}

// giveUp ends a wait that is past its time.
func (w *waiting) giveUp(ctx context.Context, id string) (*Job, error) {
	if w.call.cancelOnTimeout {
		own := *w.call
		own.idempotencyKey = ""
		job, err := fetchAs[Job](ctx, w.client, request{operation: "cancelJob", method: http.MethodPost, path: at("/v1/jobs/%s/cancel", id), keyed: true}, &own)
		if err != nil {
			return nil, err
		}
		if job.Status == JobSucceeded || job.Status == JobFailed {
			return job, nil
		}
		w.last = job
	}
	return nil, &WaitTimeoutError{Job: w.last, Limit: w.call.timeLimit}
}
