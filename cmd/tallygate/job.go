package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

type jobCmd struct {
	Submit jobSubmitCmd `cmd:"" help:"Submit a job, and with --wait see it through."`
	List   jobListCmd   `cmd:"" help:"List jobs, newest first."`
	Get    jobGetCmd    `cmd:"" help:"Show a job: status, attempts, receipt, error."`
	Result jobResultCmd `cmd:"" help:"Print a succeeded job's result, nothing else."`
	Cancel jobCancelCmd `cmd:"" help:"Cancel a job, queued or running."`
	Watch  jobWatchCmd  `cmd:"" help:"Follow a job to its end: progress, log lines, outcome."`
	Logs   jobLogsCmd   `cmd:"" help:"Print a job's log lines, up to its end."`
}

func (jobCmd) Help() string {
	return "Examples:\n\n" +
		"    tallygate job submit text.stats --input '{\"text\":\"to be or not to be\"}' --wait\n" +
		"    tallygate job list --status running\n"
}

// took is how long the job ran, empty before it started.
func (a *app) took(j *sdk.Job) string {
	if j.StartedAt.IsZero() {
		return ""
	}
	end := a.now()
	if !j.FinishedAt.IsZero() {
		end = j.FinishedAt
	}
	return roughly(end.Sub(j.StartedAt))
}

func (a *app) showJob(j *sdk.Job) error {
	progress, failure, units := "", "", []string{}
	if j.Progress != nil && !j.Status.Ended() {
		progress = percent(*j.Progress)
	}
	if j.Error != nil {
		failure = string(j.Error.Code) + ": " + j.Error.Message
	}
	for _, name := range sortedKeys(j.Receipt.Units) {
		units = append(units, name+" "+count(j.Receipt.Units[name]))
	}
	runAt := j.RunAt
	if j.Status.Ended() || !j.StartedAt.IsZero() || runAt.Equal(j.CreatedAt) {
		runAt = time.Time{}
	}
	r := j.Receipt
	err := a.printRecord(
		field{"id", j.ID},
		field{"type", j.Type},
		field{"status", string(j.Status)},
		field{"error", failure},
		field{"progress", progress},
		field{"attempt", fmt.Sprintf("%d of %d", j.Attempt, j.MaxAttempts)},
		field{"quoted", amount(r.Quoted, r.Currency)},
		field{"charged", ifEnded(j, amount(r.Charged, r.Currency))},
		field{"released", ifEnded(j, amount(r.Released, r.Currency))},
		field{"units", strings.Join(units, ", ")},
		field{"metadata", inline(j.Metadata)},
		field{"runs", a.when(runAt)},
		field{"created", a.when(j.CreatedAt)},
		field{"started", a.when(j.StartedAt)},
		field{"finished", a.when(j.FinishedAt)},
		field{"took", a.took(j)},
	)
	if err != nil || len(j.Result) == 0 || string(j.Result) == "null" {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n%s\n", a.paint(faint, "result"), pretty(j.Result))
	return err
}

// amount is money with its currency, empty where none is told.
func amount(m sdk.Money, currency string) string {
	return strings.TrimSpace(string(m) + " " + currency)
}

func ifEnded(j *sdk.Job, s string) string {
	if !j.Status.Ended() {
		return ""
	}
	return s
}

func percent(progress float64) string { return fmt.Sprintf("%d%%", int(progress*100)) }

type jobSubmitCmd struct {
	Type           string            `arg:"" help:"What to run: a job type's name."`
	Input          string            `placeholder:"JSON|@FILE|-" default:"{}" help:"What to run it on: JSON, @ and a file that holds it, or - for the standard input (default: ${default})."`
	Wait           bool              `help:"Follow the job to its end, then show it; exits with 9 unless it succeeded."`
	MaxCost        *string           `placeholder:"AMOUNT" help:"Refuse to submit where the quote is above it."`
	Priority       *int64            `placeholder:"N" help:"Higher runs first among your own jobs."`
	RunAt          string            `placeholder:"WHEN" help:"Not before: a time, or a duration from now such as 10m."`
	TimeLimit      *time.Duration    `placeholder:"DURATION" help:"From its first start; at most the type's."`
	Metadata       map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Your own notes, to list by; repeat for more."`
	IdempotencyKey string            `placeholder:"KEY" help:"Repeat the call under the same key and the job is submitted once."`
}

func (jobSubmitCmd) Help() string {
	return "Examples:\n\n" +
		"    tallygate job submit text.stats --input '{\"text\":\"to be or not to be\"}' --wait\n" +
		"    tallygate job submit image.thumbnail --input @request.json --max-cost 0.05\n" +
		"    jq -n '{text: \"…\"}' | tallygate job submit text.stats --input - --metadata order=7\n" +
		"    tallygate job submit text.stats --input @in.json --run-at 10m --idempotency-key order-7\n"
}

func (c *jobSubmitCmd) Run(ctx context.Context, a *app) error {
	submission, err := c.submission(a)
	if err != nil {
		return err
	}
	if c.Wait {
		submitted, err := a.api.Jobs.Submit(ctx, submission, idempotent(c.IdempotencyKey))
		if err != nil {
			return err
		}
		return a.seeThrough(ctx, submitted.ID)
	}
	return call(a, func(raw sdk.CallOption) (*sdk.Job, error) {
		return a.api.Jobs.Submit(ctx, submission, raw, idempotent(c.IdempotencyKey))
	}, func(j *sdk.Job) error {
		if err := a.showJob(j); err != nil {
			return err
		}
		if a.live {
			a.note("follow it with `tallygate job watch %s`", j.ID)
		}
		return nil
	})
}

func (c *jobSubmitCmd) submission(a *app) (s sdk.Submission, err error) {
	s = sdk.Submission{Type: c.Type, Metadata: metadata(c.Metadata)}
	if s.Input, err = a.input(c.Input); err != nil {
		return s, err
	}
	cost, err := given("--max-cost", c.MaxCost)
	if err != nil {
		return s, err
	}
	s.MaxCost = sdk.Money(cost)
	if c.Priority != nil {
		s.Priority = *c.Priority
	}
	if c.RunAt != "" {
		if s.RunAt, err = a.moment("--run-at", c.RunAt); err != nil {
			return s, err
		}
	}
	if c.TimeLimit != nil {
		if *c.TimeLimit <= 0 {
			return s, usagef("--time-limit must be more than 0")
		}
		s.TimeLimit = sdk.Duration(*c.TimeLimit)
	}
	return s, nil
}

// input reads a JSON value from the line, a file (@FILE) or the standard input (-).
func (a *app) input(s string) (json.RawMessage, error) {
	text, source := []byte(s), "--input"
	if path, ok := strings.CutPrefix(s, "@"); ok || s == "-" {
		if s == "-" {
			path = "-"
		}
		var err error
		if text, err = a.readFile(path); err != nil {
			return nil, err
		}
		source = "--input " + s
	}
	var value json.RawMessage
	if err := json.Unmarshal(text, &value); err != nil {
		if fault, ok := errors.AsType[*json.SyntaxError](err); ok {
			before := text[:min(max(0, int(fault.Offset)-1), len(text))]
			line, column := 1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n')
			return nil, usagef("%s is not JSON: line %d, column %d: %w", source, line, column, err)
		}
		return nil, usagef("%s is not JSON: %w", source, err)
	}
	return value, nil
}

type jobListCmd struct {
	Status   string            `placeholder:"STATUS" help:"Only these: queued, running, succeeded, failed or cancelled."`
	Type     string            `placeholder:"TYPE" help:"Only jobs of this type."`
	Client   string            `placeholder:"CLIENT" help:"Only this client's (operators)."`
	Since    string            `placeholder:"WHEN" help:"Only jobs created after: a time, or a duration such as 24h for the last day."`
	Metadata map[string]string `mapsep:"none" placeholder:"KEY=VALUE" help:"Only jobs with this metadata; repeat for more."`
	listFlags
}

func (jobListCmd) Help() string {
	return "Examples:\n\n" +
		"    tallygate job list --status failed --since 24h\n" +
		"    tallygate job list --type text.stats --metadata order=7 --json\n"
}

func (c *jobListCmd) Run(ctx context.Context, a *app) error {
	filter := sdk.JobFilter{Status: sdk.JobStatus(c.Status), Type: c.Type, ClientID: c.Client, Metadata: c.Metadata}
	if c.Since != "" {
		since, err := a.since("--since", c.Since)
		if err != nil {
			return err
		}
		filter.CreatedAfter = since.Truncate(time.Second)
	}
	columns := []column{left("id"), left("type"), status("status"), right("progress"), right("charged"), left("created"), right("took")}
	return list(a, c.listFlags, func(o sdk.ListOptions, raw sdk.CallOption) (*sdk.Page[sdk.Job], error) {
		filter.ListOptions = o
		return a.api.Jobs.List(ctx, filter, raw)
	}, "jobs", columns, func(j sdk.Job) []string {
		progress, charged := "", ""
		if j.Progress != nil && !j.Status.Ended() {
			progress = percent(*j.Progress)
		}
		if j.Status.Ended() {
			charged = string(j.Receipt.Charged)
		}
		return []string{j.ID, j.Type, string(j.Status), progress, charged, a.ago(j.CreatedAt), a.took(&j)}
	})
}

type jobGetCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobGetCmd) Help() string {
	return "Example:\n\n    tallygate job get job_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *jobGetCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.Job, error) {
		return a.api.Jobs.Get(ctx, c.ID, raw)
	}, a.showJob)
}

type jobResultCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobResultCmd) Help() string {
	return "Exits with 9 when the job failed or was cancelled.\n\nExample:\n\n" +
		"    tallygate job result job_01jz3v6r1m8k4t2q9w7x5y3b0c | jq .words\n"
}

func (c *jobResultCmd) Run(ctx context.Context, a *app) error {
	result, err := a.api.Jobs.Result(ctx, c.ID)
	if err == nil {
		return a.printJSON(result)
	}
	failure, ok := errors.AsType[*sdk.Error](err)
	if !ok || !failureOfJob(failure.Code) {
		return err
	}
	// A failed job answers with its own error, a cancelled one with INVALID_REQUEST as an unfinished one does.
	j, unknown := a.api.Jobs.Get(ctx, c.ID)
	if unknown != nil || j.Status == sdk.JobSucceeded {
		return err
	}
	if !j.Status.Ended() {
		return &exitError{code: exitCode(failure.Status), err: err, remedy: fmt.Sprintf("wait for its end with `tallygate job watch %s`", c.ID)}
	}
	return &exitError{code: exitJob, err: err, remedy: fmt.Sprintf("see what happened with `tallygate job get %s` and `tallygate job logs %s`", c.ID, c.ID)}
}

// failureOfJob reports whether the code may stand for how a job ended.
func failureOfJob(code sdk.Code) bool {
	return code == sdk.CodeProcessingFailed || code == sdk.CodeExternalServiceError || code == sdk.CodeInvalidRequest
}

type jobCancelCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobCancelCmd) Help() string {
	return "A queued job ends at once; a running one when its worker has heard of it. A job that has ended stays as it is.\n\nExample:\n\n" +
		"    tallygate job cancel job_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *jobCancelCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.Job, error) {
		return a.api.Jobs.Cancel(ctx, c.ID, raw)
	}, a.showJob)
}

type jobWatchCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobWatchCmd) Help() string {
	return "Progress and log lines go to the standard error, the job as it ended to the standard output. Exits with 9 unless it succeeded.\n\nExample:\n\n" +
		"    tallygate job watch job_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *jobWatchCmd) Run(ctx context.Context, a *app) error {
	return a.seeThrough(ctx, c.ID)
}
