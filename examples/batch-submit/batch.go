package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

// batch is one file of inputs on its way.
type batch struct {
	client   *tallygate.Client
	jobType  string
	name     string
	inputs   []json.RawMessage
	size     int
	watchers int
	bar      *bar
}

// outcome is what became of an input.
type outcome struct {
	Job     string              `json:"job"`
	Result  json.RawMessage     `json:"result"`
	Error   *tallygate.JobError `json:"error,omitempty"`
	Charged tallygate.Money     `json:"charged"`
}

// run submits everything, waits for everything, and tells each outcome in the order of the inputs.
func (b *batch) run(ctx context.Context) ([]outcome, error) {
	jobs, err := b.submit(ctx)
	if err != nil {
		return nil, err
	}
	return b.wait(ctx, jobs)
}

// submit submits the inputs, some in each request. A request's key is the batch's name and the number of its first input:
// whatever happens on the way, and whoever repeats it, its jobs exist once.
func (b *batch) submit(ctx context.Context) ([]tallygate.Job, error) {
	name := cmp.Or(b.name, b.hash())
	jobs := make([]tallygate.Job, 0, len(b.inputs))
	for first := 0; first < len(b.inputs); first += b.size {
		some := b.inputs[first:min(first+b.size, len(b.inputs))]
		submissions := make([]tallygate.Submission, len(some))
		for i, input := range some {
			submissions[i] = tallygate.Submission{Type: b.jobType, Input: input, Metadata: map[string]any{"batch": name}}
		}
		accepted, err := b.client.Jobs.SubmitBatch(ctx, submissions, tallygate.WithIdempotencyKey(fmt.Sprintf("%s-%d-%d", name, first, b.size)))
		if err != nil {
			return nil, fmt.Errorf("submitting inputs %d to %d: %w", first+1, first+len(some), err)
		}
		jobs = append(jobs, accepted...)
		b.bar.submitted(len(jobs))
	}
	return jobs, nil
}

// hash names a batch by what is in it.
func (b *batch) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", b.jobType)
	for _, input := range b.inputs {
		fmt.Fprintf(h, "%s\n", input)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// wait waits for the jobs, several at a time. The first call that fails for good ends the others.
func (b *batch) wait(ctx context.Context, jobs []tallygate.Job) ([]outcome, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	outcomes := make([]outcome, len(jobs))
	todo := make(chan int)
	var watching sync.WaitGroup
	for range min(b.watchers, len(jobs)) {
		watching.Go(func() {
			for i := range todo {
				job, err := b.client.Jobs.Wait(ctx, jobs[i].ID)
				if err != nil {
					stop(fmt.Errorf("waiting for job %s: %w", jobs[i].ID, err))
					return
				}
				outcomes[i] = told(job)
				b.bar.ended(job)
			}
		})
	}
feed:
	for i := range jobs {
		select {
		case todo <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	watching.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return outcomes, nil
}

// told is a job's end in the words of the results.
func told(job *tallygate.Job) outcome {
	o := outcome{Job: job.ID, Result: job.Result, Error: job.Error, Charged: job.Receipt.Charged}
	if job.Status == tallygate.JobCancelled {
		o.Error = &tallygate.JobError{Message: "the job was cancelled"}
	}
	return o
}
