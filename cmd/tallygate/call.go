package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

// call makes one call and shows its answer: as it came with --json, else through show.
func call[T any](a *app, do func(raw sdk.CallOption) (*T, error), show func(*T) error) error {
	var answer sdk.Answer
	v, err := do(sdk.WithAnswer(&answer))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(answer.Body)
	}
	return show(v)
}

// idempotent puts the user's Idempotency-Key on the call; without one, the call makes its own.
func idempotent(key string) sdk.CallOption { return sdk.WithIdempotencyKey(key) }

// listFlags say how much of a list to show.
type listFlags struct {
	Limit  int    `default:"20" placeholder:"N" help:"Show at most N (default: ${default})."`
	All    bool   `help:"Show all, however many."`
	Cursor string `placeholder:"CURSOR" help:"Go on from here, as the last list said."`
}

// mostPage is how many items the API gives at once.
const mostPage = 100

// list fetches as many pages as the flags ask for and shows them: one document with --json, else a table of rows.
func list[T any](a *app, flags listFlags, fetch func(o sdk.ListOptions, raw sdk.CallOption) (*sdk.Page[T], error), noun string, columns []column, row func(T) []string) error {
	if flags.Limit < 1 && !flags.All {
		return usagef("--limit must be at least 1")
	}
	found := struct {
		Data       []json.RawMessage `json:"data"`
		NextCursor *string           `json:"next_cursor"`
	}{Data: []json.RawMessage{}}
	rows := [][]string{}
	next := sdk.ListOptions{Cursor: flags.Cursor}
	for {
		next.Limit = mostPage
		if !flags.All {
			next.Limit = min(mostPage, flags.Limit-len(rows))
		}
		var answer sdk.Answer
		page, err := fetch(next, sdk.WithAnswer(&answer))
		if err != nil {
			return err
		}
		var raw struct {
			Data []json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(answer.Body, &raw); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		found.Data = append(found.Data, raw.Data...)
		for _, v := range page.Data {
			rows = append(rows, row(v))
		}
		if next.Cursor = page.NextCursor; next.Cursor == "" || (!flags.All && len(rows) >= flags.Limit) {
			break
		}
	}
	if next.Cursor != "" {
		found.NextCursor = &next.Cursor
	}
	if a.json {
		return a.printValue(found)
	}
	if len(rows) == 0 {
		a.note("no %s", noun)
		return nil
	}
	if err := a.printTable(columns, rows); err != nil {
		return err
	}
	if next.Cursor != "" {
		a.note("more follow: --cursor %s, or --all", next.Cursor)
	}
	return nil
}

// moment reads a time as users write it: RFC 3339, or a duration from now such as "10m".
func (a *app) moment(flag, s string) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC(), nil
	}
	if d, err := time.ParseDuration(strings.TrimPrefix(s, "+")); err == nil {
		return a.now().Add(d).UTC(), nil
	}
	return time.Time{}, usagef(`%s: %q is no time: write 2026-01-31T15:04:05Z, or a duration from now such as "10m" or "720h"`, flag, s)
}

// since reads a time as moment does, but a duration goes back from now.
func (a *app) since(flag, s string) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return a.now().Add(-d).UTC(), nil
	}
	return a.moment(flag, s)
}

// sortedKeys are the keys of a map, in order.
func sortedKeys[T any](m map[string]T) []string {
	return slices.Sorted(maps.Keys(m))
}

// given is the value of a flag that must not be empty where it is named: an empty one would pass for none, and a script
// whose variable is unset would not hear of it.
func given(flag string, value *string) (string, error) {
	if value == nil {
		return "", nil
	}
	if *value == "" {
		return "", usagef("%s is empty", flag)
	}
	return *value, nil
}

// metadata is what KEY=VALUE flags say.
func metadata(pairs map[string]string) map[string]any {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]any, len(pairs))
	for key, value := range pairs {
		m[key] = value
	}
	return m
}
