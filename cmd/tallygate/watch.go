package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

const (
	// pollWait is how long one long poll waits where the stream of events is not to be had: short, so that progress
	// moves.
	pollWait = 2 * time.Second
	// streamTries is how often a broken stream is asked for before the job itself is, which may have ended.
	streamTries = 3
	// followTries outlast a server's restart.
	followTries = 8
)

// happening is one event of a job as its stream tells it, or what a poll found.
type happening struct {
	Kind      string
	Status    sdk.JobStatus // that the job came to; empty: no change
	Data      details
	CreatedAt time.Time
}

// details are what the events of a job tell, each its own part.
type details struct {
	Attempt  int64    `json:"attempt"`
	Progress *float64 `json:"progress"`
	Line     *string  `json:"line"`
	Message  string   `json:"message"`
	Reason   string   `json:"reason"`
}

// follow tells each event of the job, and returns when it has ended. Where the stream breaks it resumes after the last
// event; where there is no stream it polls, and tells only state and progress.
func (a *app) follow(ctx context.Context, id string, each func(happening)) error {
	last, streaming := "", true
	for {
		if streaming {
			err := a.stream(ctx, id, &last, each)
			if err == nil || ctx.Err() != nil {
				return err
			}
			streaming = resumes(err)
		}
		j, err := a.api.Jobs.Get(ctx, id, sdk.WithWait(pollWait), sdk.WithMaxAttempts(followTries))
		if err != nil || j.Status.Ended() {
			return err
		}
		each(happening{Status: j.Status, Data: details{Attempt: j.Attempt, Progress: j.Progress}})
	}
}

// stream tells the events after the last one, and keeps where it came to.
func (a *app) stream(ctx context.Context, id string, last *string, each func(happening)) error {
	for e, err := range a.api.Jobs.Events(ctx, id, sdk.WithLastEventID(*last), sdk.WithMaxAttempts(streamTries)) {
		if err != nil {
			return err
		}
		*last = e.LastEventID
		h := happening{Kind: e.Kind, Status: e.Status, CreatedAt: e.CreatedAt}
		_ = json.Unmarshal(e.Data, &h.Data) // an event of another kind than this version knows tells its status at least
		each(h)
	}
	return nil
}

// resumes reports whether a stream that ended so is to be asked for again: one that is refused, or is no stream, is not.
func resumes(err error) bool {
	failure, ok := errors.AsType[*sdk.Error](err)
	if _, broken := errors.AsType[*sdk.ConnectionError](err); broken {
		return true
	}
	return ok && (failure.Status == 0 || failure.Status == 429 || failure.Status >= 500)
}

// seeThrough follows the job to its end with progress and log lines, then shows it. It fails unless the job succeeded.
func (a *app) seeThrough(ctx context.Context, id string) error {
	var answer sdk.Answer
	j, err := a.api.Jobs.Get(ctx, id, sdk.WithAnswer(&answer))
	if err != nil {
		return err
	}
	if !j.Status.Ended() {
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
		if j, err = a.api.Jobs.Get(ctx, id, sdk.WithAnswer(&answer)); err != nil {
			return err
		}
	}
	if a.json {
		err = a.printJSON(answer.Body)
	} else {
		err = a.showJob(j)
	}
	if err != nil {
		return err
	}
	return outcome(j)
}

// outcome is nil for a job that succeeded, else the error that stands for its end.
func outcome(j *sdk.Job) error {
	switch {
	case j.Status == sdk.JobSucceeded:
		return nil
	case j.Error == nil:
		return &exitError{code: exitJob, err: fmt.Errorf("the job was %s", j.Status)}
	}
	e := &exitError{code: exitJob, err: fmt.Errorf("%s: %s", j.Error.Code, j.Error.Message)}
	if j.Error.Code == sdk.CodeExternalServiceError {
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
			line := logLine{Line: *h.Data.Line}
			if !h.CreatedAt.IsZero() {
				line.CreatedAt = &h.CreatedAt
			}
			found.Data = append(found.Data, line)
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
