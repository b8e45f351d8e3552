package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	sdk "github.com/tallygate/tallygate/sdk/go"
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

// priceLine is the whole price on one line: "0.01 + 0.002 per page (at most 100)".
func priceLine(p sdk.Price) string {
	parts := []string{string(p.Base)}
	for _, name := range sortedKeys(p.Units) {
		u := p.Units[name]
		parts = append(parts, fmt.Sprintf("%s per %s (at most %s)", u.Price, name, count(u.Max)))
	}
	return strings.Join(parts, " + ")
}

// doneBy is who does the work, empty where it is not told.
func doneBy(e *sdk.Executor) string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(string(e.Kind) + " " + e.URL + e.Handler)
}

// span is a duration, empty where none is told.
func span(d sdk.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func (a *app) showJobType(t *sdk.JobType) error {
	running := ""
	if t.RunningJobs > 0 {
		running = "at most " + count(t.RunningJobs)
	}
	err := a.printRecord(
		field{"name", t.Name},
		field{"description", t.Description},
		field{"price", priceLine(t.Price)},
		field{"executor", doneBy(t.Executor)},
		field{"attempts", count(t.MaxAttempts)},
		field{"attempt timeout", span(t.AttemptTimeout)},
		field{"time limit", span(t.TimeLimit)},
		field{"lease", span(t.Lease)},
		field{"cancel charge", string(t.CancelCharge)},
		field{"running jobs", running},
		field{"retention", span(t.Retention)},
		field{"clients", strings.Join(t.Clients, ", ")},
	)
	if err != nil || inlineJSON(t.InputSchema) == "" {
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
	return list(a, c.listFlags, func(o sdk.ListOptions, raw sdk.CallOption) (*sdk.Page[sdk.JobType], error) {
		return a.api.JobTypes.List(ctx, o, raw)
	}, "job types", columns, func(t sdk.JobType) []string {
		return []string{t.Name, priceLine(t.Price), t.Description}
	})
}

type jobTypeGetCmd struct {
	Name string `arg:"" help:"The job type's name."`
}

func (jobTypeGetCmd) Help() string { return "Example:\n\n    tallygate job-type get text.stats\n" }

func (c *jobTypeGetCmd) Run(ctx context.Context, a *app) error {
	return call(a, func(raw sdk.CallOption) (*sdk.JobType, error) {
		return a.api.JobTypes.Get(ctx, c.Name, raw)
	}, a.showJobType)
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
		// A definition goes out as it is written, so that the server judges all that is in it.
		var answer json.RawMessage
		if err := a.api.Do(ctx, http.MethodPut, "/v1/job-types/"+url.PathEscape(d.Name), nil, d.Body, &answer); err != nil {
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
	return call(a, func(raw sdk.CallOption) (*sdk.DeletedJobType, error) {
		return a.api.JobTypes.Delete(ctx, c.Name, raw)
	}, func(*sdk.DeletedJobType) error {
		_, err := fmt.Fprintf(a.stdout, "deleted %s\n", plain(c.Name))
		return err
	})
}
