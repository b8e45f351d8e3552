package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// typeFields are the fields of a job type's definition, by where they stand; * is any unit's name. Below
// input_schema everything is the schema's own.
var typeFields = map[string][]string{
	"": {"name", "description", "input_schema", "price", "executor", "max_attempts", "attempt_timeout", "time_limit",
		"lease", "cancel_charge", "running_jobs", "retention", "limits", "clients"},
	"price":         {"base", "units"},
	"price.units.*": {"price", "max"},
	"executor":      {"kind", "url", "timeout", "secret", "handler"},
	"limits":        {"requests_per_second", "burst"},
}

// unknownFields lists the fields of a definition that no job type has, each with its line and the nearest that one has.
func unknownFields(n *yaml.Node, at string) []error {
	n = resolve(n)
	known := typeFields[at]
	if n.Kind != yaml.MappingNode || (known == nil && at != "price.units") {
		return nil
	}
	var faults []error
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if known != nil && !slices.Contains(known, key.Value) {
			hint := ""
			if near := tallygate.Nearest(key.Value, known); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			faults = append(faults, fmt.Errorf("line %d: unknown field %q of a job type%s", key.Line, key.Value, hint))
			continue
		}
		below := strings.TrimPrefix(at+"."+key.Value, ".")
		if at == "price.units" {
			below = "price.units.*"
		}
		faults = append(faults, unknownFields(n.Content[i+1], below)...)
	}
	return faults
}

// typeBody is the body of PUT /v1/job-types/{name}.
type typeBody struct {
	Description string          `json:"description"`
	InputSchema json.RawMessage `json:"input_schema"`
	Price       struct {
		Base  *string `json:"base"`
		Units map[string]struct {
			Price *string `json:"price"`
			Max   *int64  `json:"max"`
		} `json:"units"`
	} `json:"price"`
	Executor *struct {
		Kind    string  `json:"kind"`
		URL     string  `json:"url"`
		Timeout *string `json:"timeout"`
		Secret  string  `json:"secret"`
		Handler string  `json:"handler"`
	} `json:"executor"`
	MaxAttempts    *int64   `json:"max_attempts"`
	AttemptTimeout *string  `json:"attempt_timeout"`
	TimeLimit      *string  `json:"time_limit"`
	Lease          *string  `json:"lease"`
	CancelCharge   *string  `json:"cancel_charge"`
	RunningJobs    *int64   `json:"running_jobs"`
	Retention      *string  `json:"retention"`
	Clients        []string `json:"clients"`
	Limits         *struct {
		RequestsPerSecond float64 `json:"requests_per_second"`
		Burst             *int64  `json:"burst"`
	} `json:"limits"`
}

// jobType reads the definition. What it leaves out has the queue's default; what it holds the queue checks.
func (d definition) jobType() (tallygate.JobType, error) {
	var b typeBody
	if err := json.Unmarshal(d.Body, &b); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return tallygate.JobType{}, fmt.Errorf("%s cannot be a %s", wrong.Field, wrong.Value)
		}
		return tallygate.JobType{}, err
	}
	t := queue.Defaults()
	t.Name, t.Description = d.Name, b.Description
	if s := bytes.TrimSpace(b.InputSchema); len(s) > 0 && !bytes.Equal(s, []byte("null")) {
		t.InputSchema = s
	}
	var faults []error
	readMoney := func(into *tallygate.Money, name string, text *string) {
		if text == nil {
			return
		}
		m, err := tallygate.ParseMoney(*text)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
		*into = m
	}
	readTime := func(into *time.Duration, name string, text *string) {
		if text == nil {
			return
		}
		span, err := time.ParseDuration(*text)
		if err != nil {
			faults = append(faults, fmt.Errorf(`%s: %q is no duration: write one such as "30s"`, name, *text))
		}
		*into = span
	}
	readMoney(&t.Price.Base, "price.base", b.Price.Base)
	for _, name := range sortedKeys(b.Price.Units) {
		u, at := b.Price.Units[name], "price.units."+name
		if u.Price == nil || u.Max == nil {
			faults = append(faults, fmt.Errorf("%s needs price and max", at))
			continue
		}
		unit := tallygate.UnitPrice{Max: *u.Max}
		readMoney(&unit.Price, at+".price", u.Price)
		if t.Price.Units == nil {
			t.Price.Units = map[string]tallygate.UnitPrice{}
		}
		t.Price.Units[name] = unit
	}
	if e := b.Executor; e != nil {
		t.Executor.Kind, t.Executor.URL, t.Executor.Secret, t.Executor.Handler = tallygate.ExecutorKind(e.Kind), e.URL, e.Secret, e.Handler
		readTime(&t.Executor.Timeout, "executor.timeout", e.Timeout)
	}
	readTime(&t.AttemptTimeout, "attempt_timeout", b.AttemptTimeout)
	readTime(&t.TimeLimit, "time_limit", b.TimeLimit)
	readTime(&t.Lease, "lease", b.Lease)
	readTime(&t.Retention, "retention", b.Retention)
	if b.MaxAttempts != nil {
		t.MaxAttempts = *b.MaxAttempts
	}
	if b.CancelCharge != nil {
		t.CancelCharge = tallygate.CancelCharge(*b.CancelCharge)
	}
	if b.RunningJobs != nil {
		t.RunningJobs = *b.RunningJobs
	}
	if l := b.Limits; l != nil {
		t.Rate = tallygate.RateLimit{PerSecond: l.RequestsPerSecond, Burst: max(1, int64(math.Ceil(2*l.RequestsPerSecond)))}
		if l.Burst != nil {
			t.Rate.Burst = *l.Burst
		}
	}
	if b.Clients != nil {
		t.Clients = make([]tallygate.ClientID, len(b.Clients))
		for i, id := range b.Clients {
			t.Clients[i] = tallygate.ClientID(id)
		}
	}
	if len(faults) > 0 {
		return t, joined(faults)
	}
	return t, nil
}

// jobTypes reads the definitions and has the queue check them, schemas included.
func jobTypes(definitions []definition, handlers []string) ([]tallygate.JobType, error) {
	var types []tallygate.JobType
	var faults []error
	for _, d := range definitions {
		t, err := d.jobType()
		if err == nil {
			err = queue.CheckType(&t, handlers).Err()
		}
		if err != nil {
			if e, ok := errors.AsType[*tallygate.Error](err); ok {
				err = errors.New(e.Detail)
			}
			faults = append(faults, fmt.Errorf("line %d: job type %q: %w", d.Line, d.Name, err))
			continue
		}
		types = append(types, t)
	}
	if len(faults) > 0 {
		return nil, joined(faults)
	}
	return types, nil
}
