package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/client"
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

// job is a job as the API shows it.
type job struct {
	ID          string          `json:"id"`
	Type        string          `json:"type"`
	ClientID    string          `json:"client_id"`
	Status      string          `json:"status"`
	Priority    int64           `json:"priority"`
	Input       json.RawMessage `json:"input"`
	Result      json.RawMessage `json:"result"`
	Error       *jobError       `json:"error"`
	Progress    *float64        `json:"progress"`
	Attempt     int64           `json:"attempt"`
	MaxAttempts int64           `json:"max_attempts"`
	Receipt     receipt         `json:"receipt"`
	Metadata    json.RawMessage `json:"metadata"`
	RunAt       *time.Time      `json:"run_at"`
	CreatedAt   *time.Time      `json:"created_at"`
	StartedAt   *time.Time      `json:"started_at"`
	FinishedAt  *time.Time      `json:"finished_at"`
}

type jobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type receipt struct {
	Currency     string           `json:"currency"`
	Quoted       string           `json:"quoted"`
	Held         string           `json:"held"`
	Charged      string           `json:"charged"`
	Released     string           `json:"released"`
	Units        map[string]int64 `json:"units"`
	PriceVersion int64            `json:"price_version"`
}

func (j job) ended() bool { return tallygate.JobStatus(j.Status).Ended() }

// took is how long the job ran, empty before it started.
func (a *app) took(j job) string {
	if j.StartedAt == nil {
		return ""
	}
	end := a.now()
	if j.FinishedAt != nil {
		end = *j.FinishedAt
	}
	return roughly(end.Sub(*j.StartedAt))
}

func (a *app) showJob(j job) error {
	progress, failure, units := "", "", []string{}
	if j.Progress != nil && !j.ended() {
		progress = percent(*j.Progress)
	}
	if j.Error != nil {
		failure = j.Error.Code + ": " + j.Error.Message
	}
	for _, name := range sortedKeys(j.Receipt.Units) {
		units = append(units, name+" "+count(j.Receipt.Units[name]))
	}
	runAt := j.RunAt
	if j.ended() || j.StartedAt != nil || (runAt != nil && j.CreatedAt != nil && runAt.Equal(*j.CreatedAt)) {
		runAt = nil
	}
	r := j.Receipt
	err := a.printRecord(
		field{"id", j.ID},
		field{"type", j.Type},
		field{"status", j.Status},
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
func amount(s, currency string) string {
	return strings.TrimSpace(s + " " + currency)
}

func ifEnded(j job, s string) string {
	if !j.ended() {
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
	request, err := c.request(a)
	if err != nil {
		return err
	}
	ctx = idempotent(ctx, c.IdempotencyKey)
	if c.Wait {
		var submitted job
		if err := a.api.Do(ctx, "POST", "/v1/jobs", nil, request, &submitted); err != nil {
			return err
		}
		return a.seeThrough(ctx, submitted.ID)
	}
	return call(ctx, a, "POST", "/v1/jobs", nil, request, func(j job) error {
		if err := a.showJob(j); err != nil {
			return err
		}
		if a.live {
			a.note("follow it with `tallygate job watch %s`", j.ID)
		}
		return nil
	})
}

func (c *jobSubmitCmd) request(a *app) (map[string]any, error) {
	input, err := a.input(c.Input)
	if err != nil {
		return nil, err
	}
	request := map[string]any{"type": c.Type, "input": input}
	put(request, "max_cost", c.MaxCost)
	put(request, "priority", c.Priority)
	if c.RunAt != "" {
		at, err := a.moment("--run-at", c.RunAt)
		if err != nil {
			return nil, err
		}
		request["run_at"] = at
	}
	if c.TimeLimit != nil {
		request["time_limit"] = c.TimeLimit.String()
	}
	if len(c.Metadata) > 0 {
		request["metadata"] = c.Metadata
	}
	return request, nil
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
	query := url.Values{}
	for name, value := range map[string]string{"status": c.Status, "type": c.Type, "client_id": c.Client} {
		if value != "" {
			query.Set(name, value)
		}
	}
	for key, value := range c.Metadata {
		query.Set("metadata["+key+"]", value)
	}
	if c.Since != "" {
		since, err := a.since("--since", c.Since)
		if err != nil {
			return err
		}
		query.Set("created_after", since.Format(time.RFC3339))
	}
	columns := []column{left("id"), left("type"), status("status"), right("progress"), right("charged"), left("created"), right("took")}
	return list(ctx, a, c.listFlags, "/v1/jobs", query, "jobs", columns, func(j job) []string {
		progress, charged := "", ""
		if j.Progress != nil && !j.ended() {
			progress = percent(*j.Progress)
		}
		if j.ended() {
			charged = j.Receipt.Charged
		}
		return []string{j.ID, j.Type, j.Status, progress, charged, a.ago(j.CreatedAt), a.took(j)}
	})
}

type jobGetCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobGetCmd) Help() string {
	return "Example:\n\n    tallygate job get job_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *jobGetCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "GET", at("/v1/jobs/%s", c.ID), nil, nil, a.showJob)
}

type jobResultCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobResultCmd) Help() string {
	return "Exits with 9 when the job failed or was cancelled.\n\nExample:\n\n" +
		"    tallygate job result job_01jz3v6r1m8k4t2q9w7x5y3b0c | jq .words\n"
}

func (c *jobResultCmd) Run(ctx context.Context, a *app) error {
	var result json.RawMessage
	err := a.api.Do(ctx, "GET", at("/v1/jobs/%s/result", c.ID), nil, nil, &result)
	if err == nil {
		return a.printJSON(result)
	}
	failure, ok := errors.AsType[*client.Error](err)
	if !ok || !failureOfJob(failure.Code) {
		return err
	}
	// A failed job answers with its own error, a cancelled one with INVALID_REQUEST as an unfinished one does.
	var j job
	if a.api.Do(ctx, "GET", at("/v1/jobs/%s", c.ID), nil, nil, &j) != nil || j.Status == string(tallygate.JobSucceeded) {
		return err
	}
	if !j.ended() {
		return &exitError{code: exitCode(failure.Status), err: err, remedy: fmt.Sprintf("wait for its end with `tallygate job watch %s`", c.ID)}
	}
	return &exitError{code: exitJob, err: err, remedy: fmt.Sprintf("see what happened with `tallygate job get %s` and `tallygate job logs %s`", c.ID, c.ID)}
}

// failureOfJob reports whether the code may stand for how a job ended.
func failureOfJob(code string) bool {
	c, known := tallygate.ParseCode(code)
	return known && (c == tallygate.ProcessingFailed || c == tallygate.ExternalServiceError || c == tallygate.InvalidRequest)
}

type jobCancelCmd struct {
	ID string `arg:"" name:"job" help:"The job's ID (job_…)."`
}

func (jobCancelCmd) Help() string {
	return "A queued job ends at once; a running one when its worker has heard of it. A job that has ended stays as it is.\n\nExample:\n\n" +
		"    tallygate job cancel job_01jz3v6r1m8k4t2q9w7x5y3b0c\n"
}

func (c *jobCancelCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "POST", at("/v1/jobs/%s/cancel", c.ID), nil, nil, a.showJob)
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
