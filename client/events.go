package client

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Event is one server-sent event.
type Event struct {
	ID   string // of this event or the last that had one; where to resume
	Name string // "message" where none is told
	Data []byte
}

// Events reads a stream of server-sent events and calls each with every one, until the stream ends (nil), each returns
// an error (that error), or the connection fails (an *Error). Opening is tried again like any call; a stream that broke
// is the caller's to resume, with the last ID as after.
func (c *Client) Events(ctx context.Context, path string, query url.Values, after string, each func(Event) error) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if after != "" {
		header.Set("Last-Event-ID", after)
	}
	var stopped error
	err := c.send(ctx, http.MethodGet, path, query, nil, header, func(res *http.Response) error {
		if kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "text/event-stream" {
			return foreign(res, nil, "the answer is not a stream of events")
		}
		var broken error
		broken, stopped = readEvents(res.Body, after, each)
		if broken != nil && stopped == nil {
			stopped = &Error{Message: "the stream of events broke off", RequestID: res.Header.Get("X-Request-Id"), Attempts: 1, Err: broken}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if stopped != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return stopped
}

// mostEvent bounds one line of a stream.
const mostEvent = 64 << 20

// readEvents parses a stream (HTML Living Standard, section 9.2.6): broken is the reader's error, stopped each's.
func readEvents(r io.Reader, id string, each func(Event) error) (broken, stopped error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), mostEvent)
	lines.Split(eventLine)
	event := Event{ID: id}
	var data bytes.Buffer
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			if data.Len() > 0 {
				if event.Name == "" {
					event.Name = "message"
				}
				event.Data = bytes.Clone(bytes.TrimSuffix(data.Bytes(), []byte("\n")))
				if err := each(event); err != nil {
					return nil, err
				}
			}
			event = Event{ID: event.ID}
			data.Reset()
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			event.Name = string(value)
		case "data":
			data.Write(value)
			data.WriteByte('\n')
		case "id":
			if !bytes.ContainsRune(value, 0) {
				event.ID = string(value)
			}
		}
	}
	return lines.Err(), nil
}

// eventLine splits at a line feed, a carriage return, or both.
func eventLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexAny(data, "\r\n"); i >= 0 {
		next := i + 1
		if data[i] == '\r' {
			if next == len(data) && !atEOF {
				return 0, nil, nil // a line feed may follow
			}
			if next < len(data) && data[next] == '\n' {
				next++
			}
		}
		return next, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
