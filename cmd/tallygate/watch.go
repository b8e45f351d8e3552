package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/client"
)

const (
	// pollWait is how long one long poll waits where the stream of events is not to be had: short, so that progress
	// moves.
	pollWait = 2 * time.Second
	// resumeWait keeps a stream that ends at once from being asked for in a hurry.
	resumeWait = 250 * time.Millisecond
	// followTries outlast a server's restart.
	followTries = 8
)

// happening is one event of a job as its stream tells it.
type happening struct {
	Kind      string     `json:"kind"`
	Status    string     `json:"status"` // the state that the job came to; empty: no change
	Data      details    `json:"data"`
	CreatedAt *time.Time `json:"created_at"`
}

// details are what the events of a job tell, each its own part.
type details struct {
	Attempt  int64    `json:"attempt"`
	Progress *float64 `json:"progress"`
	Line     *string  `json:"line"`
	Message  string   `json:"message"`
	Reason   string   `json:"reason"`
}

func (h happening) ended() bool { return tallygate.JobStatus(h.Status).Ended() }

// errEnded stops a stream whose job has ended.
var errEnded = errors.New("the job has ended")

// follow tells each event of the job, and returns when it has ended. Where the stream breaks it resumes after the last
// event; where there is no stream it polls, and tells only state and progress.
func (a *app) follow(ctx context.Context, id string, each func(happening)) error {
	api := *a.api
	api.Tries = followTries
	last, streaming, over := "", true, false
	for {
		wait := pollWait
		if streaming {
			err := api.Events(ctx, at("/v1/jobs/%s/events", id), nil, last, func(e client.Event) error {
				last = e.ID
				var h happening
				if json.Unmarshal(e.Data, &h) != nil {
					return nil // an event of another kind than this version knows
				}
				each(h)
				if h.ended() {
					return errEnded
				}
				return nil
			})
			if errors.Is(err, errEnded) {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			streaming, wait = resumes(err), resumeWait
		}
		if over {
			return nil
		}
		var j job
		if err := api.Do(ctx, "GET", at("/v1/jobs/%s", id), url.Values{"wait": {wait.String()}}, nil, &j); err != nil {
			return err
		}
		if over = j.ended(); over && !streaming {
			return nil
		} else if !over { // of a job that ended, the stream has the rest
			each(happening{Status: j.Status, Data: details{Attempt: j.Attempt, Progress: j.Progress}})
		}
	}
}

// resumes reports whether a stream that ended so is to be asked for again: one that is refused, or is no stream, is not.
func resumes(err error) bool {
	failure, ok := errors.AsType[*client.Error](err)
	return !ok || failure.Status == 0 || failure.Status == 429 || failure.Status >= 500
}

// seeThrough follows the job to its end with progress and log lines, then shows it. It fails unless the job succeeded.
func (a *app) seeThrough(ctx context.Context, id string) error {
	var answer json.RawMessage
	var j job
	fetch := func() error {
		if err := a.api.Do(ctx, "GET", at("/v1/jobs/%s", id), nil, nil, &answer); err != nil {
			return err
		}
		j = job{}
		return json.Unmarshal(answer, &j)
	}
	if err := fetch(); err != nil {
		return err
	}
	if !j.ended() {
		progress := newProgress(a, j)
		err := a.follow(ctx, id, progress.tell)
		progress.close()
		if ctx.Err() != nil {
			a.note("the job goes on; follow it again with `tallygate job watch %s`", id)
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := fetch(); err != nil {
			return err
		}
	}
	var err error
	if a.json {
		err = a.printJSON(answer)
	} else {
		err = a.showJob(j)
	}
	if err != nil {
		return err
	}
	return outcome(j)
}

// outcome is nil for a job that succeeded, else the error that stands for its end.
func outcome(j job) error {
	switch {
	case j.Status == string(tallygate.JobSucceeded):
		return nil
	case j.Error == nil:
		return &exitError{code: exitJob, err: fmt.Errorf("the job was %s", j.Status)}
	}
	e := &exitError{code: exitJob, err: fmt.Errorf("%s: %s", j.Error.Code, j.Error.Message)}
	if code, known := tallygate.ParseCode(j.Error.Code); known && code == tallygate.ExternalServiceError {
		e.remedy = "the upstream failed at the last attempt: submit the job again after a delay"
	}
	return e
}

type jobLogsCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobLogsCmd) Help() string {
	return "Prints the lines so far and then those that come, until the job has ended. With --json each line comes with its time, in one document at the end.\n\nExample:\n\n" +
		"    tallygate job logs job_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

// logLine is one line that a worker wrote about a job.
type logLine struct {
	CreatedAt *time.Time `json:"created_at"`
	Line      string     `json:"line"`
}

func (c *jobLogsCmd) Run(ctx context.Context, a *app) error {
	found := struct {
		Data []logLine `json:"data"`
	}{Data: []logLine{}}
	err := a.follow(ctx, c.ID, func(h happening) {
		switch {
		case h.Data.Line == nil:
		case a.json:
			found.Data = append(found.Data, logLine{h.CreatedAt, *h.Data.Line})
		default:
			fmt.Fprintln(a.stdout, plain(*h.Data.Line))
		}
	})
	if err != nil {
		return err
	}
	if a.json {
		return a.printValue(found)
	}
	return nil
}
