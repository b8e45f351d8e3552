package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

type jobTypeCmd struct {
	List   jobTypeListCmd   `cmd:"" help:"List the job types that you may use."`
	Get    jobTypeGetCmd    `cmd:"" help:"Show a job type: schema, price, limits."`
	Apply  jobTypeApplyCmd  `cmd:"" help:"Define job types from files, or change them."`
	Delete jobTypeDeleteCmd `cmd:"" help:"Delete a job type that has no live jobs."`
}

func (jobTypeCmd) Help() string {
	return "Examples:\n\n    tallygate job-type list\n    tallygate job-type apply types.yaml\n"
}

// jobType is a job type as the API shows it.
type jobType struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Price       struct {
		Base  string `json:"base"`
		Units map[string]struct {
			Price string `json:"price"`
			Max   int64  `json:"max"`
		} `json:"units"`
	} `json:"price"`
	Executor *struct {
		Kind    string `json:"kind"`
		URL     string `json:"url"`
		Handler string `json:"handler"`
	} `json:"executor"` // operators alone see it
	MaxAttempts    int64    `json:"max_attempts"`
	AttemptTimeout string   `json:"attempt_timeout"`
	TimeLimit      string   `json:"time_limit"`
	Lease          string   `json:"lease"`
	CancelCharge   string   `json:"cancel_charge"`
	RunningJobs    *int64   `json:"running_jobs"`
	Retention      string   `json:"retention"`
	Clients        []string `json:"clients"`
}

// price is the whole price on one line: "0.01 + 0.002 per page (at most 100)".
func (t jobType) price() string {
	parts := []string{t.Price.Base}
	for _, name := range sortedKeys(t.Price.Units) {
		u := t.Price.Units[name]
		parts = append(parts, fmt.Sprintf("%s per %s (at most %s)", u.Price, name, count(u.Max)))
	}
	return strings.Join(parts, " + ")
}

// doneBy is who does the work, empty where it is not told.
func (t jobType) doneBy() string {
	if t.Executor == nil {
		return ""
	}
	return strings.TrimSpace(t.Executor.Kind + " " + t.Executor.URL + t.Executor.Handler)
}

func (a *app) showJobType(t jobType) error {
	running := ""
	if t.RunningJobs != nil && *t.RunningJobs > 0 {
		running = "at most " + count(*t.RunningJobs)
	}
	err := a.printRecord(
		field{"name", t.Name},
		field{"description", t.Description},
		field{"price", t.price()},
		field{"executor", t.doneBy()},
		field{"attempts", count(t.MaxAttempts)},
		field{"attempt timeout", t.AttemptTimeout},
		field{"time limit", t.TimeLimit},
		field{"lease", t.Lease},
		field{"cancel charge", t.CancelCharge},
		field{"running jobs", running},
		field{"retention", t.Retention},
		field{"clients", strings.Join(t.Clients, ", ")},
	)
	if err != nil || inline(t.InputSchema) == "" {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n%s\n", a.paint(faint, "input schema"), pretty(t.InputSchema))
	return err
}

// pretty indents a JSON value; \u escapes keep it harmless to a terminal.
func pretty(document json.RawMessage) string {
	var b bytes.Buffer
	if json.Indent(&b, document, "", "  ") != nil {
		return plain(string(document))
	}
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = plain(lines[i])
	}
	return strings.Join(lines, "\n")
}

type jobTypeListCmd struct{ listFlags }

func (jobTypeListCmd) Help() string {
	return "Examples:\n\n    tallygate job-type list\n    tallygate job-type list --all --json\n"
}

func (c *jobTypeListCmd) Run(ctx context.Context, a *app) error {
	columns := []column{left("name"), left("price"), left("description")}
	return list(ctx, a, c.listFlags, "/v1/job-types", nil, "job types", columns, func(t jobType) []string {
		return []string{t.Name, t.price(), t.Description}
	})
}

type jobTypeGetCmd struct {
	Name string `arg:"" help:"The job type's name."`
}

func (jobTypeGetCmd) Help() string { return "Example:\n\n    tallygate job-type get text.stats\n" }

func (c *jobTypeGetCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "GET", at("/v1/job-types/%s", c.Name), nil, nil, a.showJobType)
}

type jobTypeApplyCmd struct {
	File []string `arg:"" help:"YAML or JSON files; - is the standard input."`
}

func (jobTypeApplyCmd) Help() string {
	return "A file holds one job type, a list of them, or a configuration's job_types, each the body of PUT /v1/job-types/{name} with its name. " +
		"All files are read before the first is applied; applying again changes nothing.\n\nExample file:\n\n" +
		"    name: text.stats\n" +
		"    description: Counts words.\n" +
		"    input_schema: {type: object, required: [text], properties: {text: {type: string}}}\n" +
		"    price: {base: 0.01, units: {page: {price: 0.002, max: 100}}}\n" +
		"    executor: {kind: pull}\n" +
		"\nExamples:\n\n" +
		"    tallygate job-type apply types.yaml\n" +
		"    tallygate job-type apply types/*.yaml --json\n"
}

func (c *jobTypeApplyCmd) Run(ctx context.Context, a *app) error {
	var all []definition
	for _, path := range c.File {
		text, err := a.readFile(path)
		if err != nil {
			return err
		}
		some, err := parseDefinitions(text)
		if err != nil {
			return usagef("%s: %w", nameOf(path), err)
		}
		all = append(all, some...)
	}
	applied := struct {
		Data []json.RawMessage `json:"data"`
	}{Data: []json.RawMessage{}}
	for _, d := range all {
		var answer json.RawMessage
		if err := a.api.Do(ctx, "PUT", at("/v1/job-types/%s", d.Name), nil, d.Body, &answer); err != nil {
			return fmt.Errorf("job type %q: %w", d.Name, err)
		}
		applied.Data = append(applied.Data, answer)
		if !a.json {
			if _, err := fmt.Fprintf(a.stdout, "applied %s\n", plain(d.Name)); err != nil {
				return err
			}
		}
	}
	if a.json {
		return a.printValue(applied)
	}
	return nil
}

// readFile reads a file that the command line names; - is the standard input.
func (a *app) readFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(a.stdin)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return text, nil
}

// nameOf is how a message names a file of the command line.
func nameOf(path string) string {
	if path == "-" {
		return "the standard input"
	}
	return path
}

type jobTypeDeleteCmd struct {
	Name string `arg:"" help:"The job type's name."`
}

func (jobTypeDeleteCmd) Help() string {
	return "Example:\n\n    tallygate job-type delete text.stats\n"
}

func (c *jobTypeDeleteCmd) Run(ctx context.Context, a *app) error {
	return call(ctx, a, "DELETE", at("/v1/job-types/%s", c.Name), nil, nil, func(json.RawMessage) error {
		_, err := fmt.Fprintf(a.stdout, "deleted %s\n", plain(c.Name))
		return err
	})
}
