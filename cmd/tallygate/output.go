package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// printJSON writes one document and ends its line.
func (a *app) printJSON(document json.RawMessage) error {
	_, err := fmt.Fprintf(a.stdout, "%s\n", bytes.TrimSpace(document))
	return err
}

// printValue writes a value as one document.
func (a *app) printValue(v any) error {
	document, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return a.printJSON(document)
}

// note tells a person something that is no part of the answer.
func (a *app) note(format string, args ...any) {
	fmt.Fprintln(a.stderr, plain(fmt.Sprintf(format, args...)))
}

// plain takes out of a text what could move a terminal's cursor or turn its writing round.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return '\ufffd'
		}
		return r
	}, s)
}

// The colours, as SGR parameters (ECMA-48).
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	faint  = "2"
	bold   = "1"
)

func (a *app) paint(colour, text string) string {
	if !a.colour || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// statusColour is the colour of a state of a client, key, job or check.
func statusColour(status string) string {
	switch status {
	case "active", "succeeded", "ok":
		return green
	case "running":
		return blue
	case "queued", "expired", "warn":
		return yellow
	case "suspended", "revoked", "failed", "fail":
		return red
	case "cancelled":
		return faint
	}
	return ""
}

// column is one column of a table.
type column struct {
	title  string
	right  bool                     // amounts and counts
	colour func(text string) string // nil: none
}

func left(title string) column   { return column{title: title} }
func right(title string) column  { return column{title: title, right: true} }
func status(title string) column { return column{title: title, colour: statusColour} }

// printTable aligns the rows under their titles.
func (a *app) printTable(columns []column, rows [][]string) error {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = utf8.RuneCountInString(c.title)
		for _, row := range rows {
			row[i] = plain(row[i])
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var out strings.Builder
	line := func(cells []string, colour func(i int) string) {
		var b strings.Builder
		for i, text := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			painted := a.paint(colour(i), text)
			switch {
			case columns[i].right:
				b.WriteString(pad + painted)
			case i == len(cells)-1:
				b.WriteString(painted)
			default:
				b.WriteString(painted + pad)
			}
			if i < len(cells)-1 {
				b.WriteString("  ")
			}
		}
		out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = strings.ToUpper(c.title)
	}
	line(titles, func(int) string { return bold })
	for _, row := range rows {
		line(row, func(i int) string {
			if columns[i].colour == nil {
				return ""
			}
			return columns[i].colour(row[i])
		})
	}
	_, err := io.WriteString(a.stdout, out.String())
	return err
}

// field is one line of a record.
type field struct{ name, value string }

// printRecord prints names and values under each other, without those that are empty.
func (a *app) printRecord(fields ...field) error {
	width := 0
	for _, f := range fields {
		if f.value != "" {
			width = max(width, len(f.name))
		}
	}
	var out strings.Builder
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		value := plain(f.value)
		if f.name == "status" {
			value = a.paint(statusColour(value), value)
		}
		fmt.Fprintf(&out, "%s  %s\n", a.paint(faint, fmt.Sprintf("%-*s", width, f.name)), value)
	}
	_, err := io.WriteString(a.stdout, out.String())
	return err
}

// ago tells a time from now, as tables show it.
func (a *app) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if a.now().Sub(t).Abs() >= 60*24*time.Hour {
		return t.Local().Format(time.DateOnly)
	}
	return a.fromNow(t)
}

func (a *app) fromNow(t time.Time) string {
	switch past := a.now().Sub(t); {
	case past >= 0 && past < 2*time.Second:
		return "now"
	case past >= 0:
		return roughly(past) + " ago"
	default:
		return "in " + roughly(-past)
	}
}

// when tells a time of a record: the local clock's, and from now. Empty where there is none.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s (%s)", t.Local().Format("2006-01-02 15:04:05 -07:00"), a.fromNow(t))
}

// roughly is a duration in its largest unit.
func roughly(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// inline is a small value as JSON on one line; empty for an empty object, list or null.
func inline(v any) string {
	document, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return inlineJSON(document)
}

// inlineJSON is inline for a value that is JSON already.
func inlineJSON(document json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, document) != nil {
		return string(document)
	}
	switch s := b.String(); s {
	case "{}", "[]", "null":
		return ""
	default:
		return s
	}
}
