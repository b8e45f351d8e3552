package tallygate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
)

// Event is something that happened to a job.
type Event struct {
	ID        string          `json:"id"`
	Kind      string          `json:"kind"`             // such as "job.progress"; a newer server may know more
	Status    JobStatus       `json:"status,omitempty"` // that the job came to; empty: no change
	ClientID  string          `json:"client_id"`
	Subject   string          `json:"subject"`         // the job
	Actor     string          `json:"actor,omitempty"` // the key that did it; empty: the server itself
	Data      json.RawMessage `json:"data,omitempty"`  // what else there is to say, by kind
	CreatedAt time.Time       `json:"created_at,omitzero"`

	LastEventID string `json:"-"` // where a stream goes on: for [WithLastEventID]
}

// Progress is how far the job is, from 0 to 1, where the event tells it.
func (e *Event) Progress() (float64, bool) {
	var data struct{ Progress *float64 }
	if json.Unmarshal(e.Data, &data) != nil || data.Progress == nil {
		return 0, false
	}
	return *data.Progress, true
}

// Log is the line that the worker wrote, where the event tells one.
func (e *Event) Log() (string, bool) {
	var data struct{ Line *string }
	if json.Unmarshal(e.Data, &data) != nil || data.Line == nil {
		return "", false
	}
	return *data.Line, true
}

// Events are what happened to the job and what happens, until it has ended. A stream that breaks off is opened again
// after the last event, by the policy of every call; an error ends the sequence. [WithLastEventID] begins after an event
// that is known.
func (j *Jobs) Events(ctx context.Context, id string, options ...CallOption) iter.Seq2[*Event, error] {
	return j.client.events(ctx, id, j.client.newCall(options))
}

var errStop = errors.New("no more events are wanted, or are to come")

func (c *Client) events(ctx context.Context, id string, one *call) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		s, err := c.prepare(request{operation: "streamJobEvents", method: http.MethodGet, path: at("/v1/jobs/%s/events", id), mayBeOver: true}, one, streamType)
		if err != nil {
			yield(nil, err)
			return
		}
		t := c.newTries(&s.request, one.limits)
		last := one.lastEventID
		for {
			opened := last
			if last != "" {
				s.header.Set("Last-Event-ID", last)
			}
			err := c.attempt(ctx, t, s, func(res *http.Response, alive func()) error {
				if res.StatusCode == http.StatusNoContent {
					return errStop
				}
				if kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != streamType {
					answer, _ := io.ReadAll(io.LimitReader(res.Body, mostRefusal)) // for the message alone
					return c.unexpected(res, answer, "HTTP "+status(res)+", but not a stream of events")
				}
				ended := false
				broken, stopped := readEvents(livelyReader{res.Body, alive}, last, func(e serverEvent) error {
					event := &Event{LastEventID: e.id}
					last = e.id
					if json.Unmarshal(e.data, event) != nil {
						return nil
					}
					if e.id != opened { // else the server begins again at what is known
						t.progressed()
					}
					if ended = event.Status.Ended(); !yield(event, nil) || ended {
						return errStop
					}
					return nil
				})
				switch {
				case stopped != nil:
					return stopped
				case broken != nil:
					return c.brokeOff(res, broken)
				}
				return c.brokeOff(res, errors.New("the stream ended before the job"))
			})
			if errors.Is(err, errStop) {
				t.succeeded()
				return
			}
			if err := t.again(ctx, err); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// livelyReader says when something has come.
type livelyReader struct {
	io.Reader
	alive func()
}

func (r livelyReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if n > 0 {
		r.alive()
	}
	return n, err
}

// serverEvent is one server-sent event.
type serverEvent struct {
	id   string // of this event or the last that had one
	name string // "message" where none is told
	data []byte
}

// mostEvent bounds one line of a stream.
const mostEvent = 64 << 20

// readEvents parses a stream (HTML Living Standard, section 9.2.6): broken is the reader's error, stopped each's.
func readEvents(r io.Reader, id string, each func(serverEvent) error) (broken, stopped error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), mostEvent)
	lines.Split(eventLine)
	event, first := serverEvent{id: id}, true
	var data bytes.Buffer
	for lines.Scan() {
		line := lines.Bytes()
		if first {
			line, first = bytes.TrimPrefix(line, []byte("\uFEFF")), false
		}
		if len(line) == 0 {
			if data.Len() > 0 {
				if event.name == "" {
					event.name = "message"
				}
				event.data = bytes.Clone(bytes.TrimSuffix(data.Bytes(), []byte("\n")))
				if err := each(event); err != nil {
					return nil, err
				}
			}
			event = serverEvent{id: event.id}
			data.Reset()
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			event.name = string(value)
		case "data":
			data.Write(value)
			data.WriteByte('\n')
		case "id":
			if !bytes.ContainsRune(value, 0) {
				event.id = string(value)
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
