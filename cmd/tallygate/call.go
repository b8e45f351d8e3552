package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// call makes one request and shows its answer: as it came with --json, else through show.
func call[T any](ctx context.Context, a *app, method, path string, query url.Values, body any, show func(T) error) error {
	var answer json.RawMessage
	if err := a.api.Do(ctx, method, path, query, body, &answer); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(answer)
	}
	var v T
	if err := json.Unmarshal(answer, &v); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return show(v)
}

// at puts the identifiers into a path's %s, escaped.
func at(path string, ids ...string) string {
	escaped := make([]any, len(ids))
	for i, id := range ids {
		escaped[i] = url.PathEscape(id)
	}
	return fmt.Sprintf(path, escaped...)
}

// listFlags say how much of a list to show.
type listFlags struct {
	Limit  int    `default:"20" placeholder:"N" help:"Show at most N (default: ${default})."`
	All    bool   `help:"Show all, however many."`
	Cursor string `placeholder:"CURSOR" help:"Go on from here, as the last list said."`
}

// mostPage is how many items the API gives at once.
const mostPage = 100

// list fetches as many pages as the flags ask for and shows them: one document with --json, else a table of rows.
func list[T any](ctx context.Context, a *app, flags listFlags, path string, query url.Values, noun string, columns []column, row func(T) []string) error {
	if flags.Limit < 1 && !flags.All {
		return usagef("--limit must be at least 1")
	}
	if query == nil {
		query = url.Values{}
	}
	found := struct {
		Data       []json.RawMessage `json:"data"`
		NextCursor *string           `json:"next_cursor"`
	}{Data: []json.RawMessage{}}
	if flags.Cursor != "" {
		query.Set("cursor", flags.Cursor)
	}
	for {
		size := mostPage
		if !flags.All {
			size = min(mostPage, flags.Limit-len(found.Data))
		}
		query.Set("limit", strconv.Itoa(size))
		var page struct {
			Data       []json.RawMessage `json:"data"`
			NextCursor *string           `json:"next_cursor"`
		}
		if err := a.api.Do(ctx, "GET", path, query, nil, &page); err != nil {
			return err
		}
		found.Data = append(found.Data, page.Data...)
		found.NextCursor = page.NextCursor
		if page.NextCursor == nil || *page.NextCursor == "" || (!flags.All && len(found.Data) >= flags.Limit) {
			break
		}
		query.Set("cursor", *page.NextCursor)
	}
	if a.json {
		return a.printValue(found)
	}
	if len(found.Data) == 0 {
		a.note("no %s", noun)
		return nil
	}
	rows := make([][]string, len(found.Data))
	for i, document := range found.Data {
		var v T
		if err := json.Unmarshal(document, &v); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		rows[i] = row(v)
	}
	if err := a.printTable(columns, rows); err != nil {
		return err
	}
	if found.NextCursor != nil && *found.NextCursor != "" {
		a.note("more follow: --cursor %s, or --all", *found.NextCursor)
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

// put sets a member of a request unless the value is nil.
func put[T any](request map[string]any, name string, value *T) {
	if value != nil {
		request[name] = *value
	}
}
