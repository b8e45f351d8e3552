package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tallygate/tallygate"
)

// What a stream of events is made of.
const (
	eventBatch  = 100
	keepAlive   = 15 * time.Second
	longestFeed = time.Hour // then the caller comes back with Last-Event-ID
)

var (
	eventStreamType = []string{"text/event-stream"}
	noCache         = []string{"no-cache, no-store"}
	unbuffered      = []string{"no"}
)

// streamEvents is GET /v1/jobs/{id}/events: what happened to the job and what happens, as server-sent events (WHATWG
// HTML, section 9.2) named state, progress and log. The stream ends with the job, or early with the drain; it resumes
// after the event that Last-Event-ID names, with an answer 204 where that was the last.
func (c *call) streamEvents() error {
	after := c.lastEventID()
	if err := c.checked(); err != nil {
		return err
	}
	j, err := c.job()
	if err != nil {
		return err
	}
	changed, unwatch := c.server.opt.Queue.Watch(j.ID)
	defer unwatch()
	events, err := c.server.opt.Queue.Events(c.ctx, j.ID, after, eventBatch)
	if err != nil {
		return err
	}
	if !j.Status().Ended() && c.r.Method != http.MethodHead {
		if err := c.mayWait(longestFeed); err != nil {
			return err
		}
	}
	h := c.w.Header()
	if j.Status().Ended() && len(events) == 0 { // 204 has an EventSource stop coming back
		c.limitHeaders(h)
		c.count(countKey{})
		c.write(http.StatusNoContent, nil)
		return nil
	}
	h["Content-Type"] = eventStreamType
	h["Cache-Control"] = noCache
	h["X-Accel-Buffering"] = unbuffered
	c.limitHeaders(h)
	c.count(countKey{})
	c.write(http.StatusOK, nil)
	if c.r.Method == http.MethodHead {
		return nil
	}
	f := &feed{call: c, control: http.NewResponseController(c.w), after: after}
	more := len(events) == eventBatch
	if f.send(events) && (more || !j.Status().Ended()) {
		f.follow(j.ID, changed, more)
	}
	return nil
}

// lastEventID is the number of the event after which the stream resumes, 0 for its beginning.
func (c *call) lastEventID() int64 {
	values := c.r.Header["Last-Event-Id"]
	if len(values) == 0 || values[0] == "" {
		return 0
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil || len(values[0]) > 18 || len(values) > 1 {
		c.faults.invalid("Last-Event-ID", "must be the id of an event of this stream, not %s", quoted(shown(values[0])))
	}
	return int64(n)
}

// feed writes one stream. Once it has begun, an error can only end it: the caller comes back and resumes.
type feed struct {
	call    *call
	control *http.ResponseController
	after   int64
	buffer  []byte
}

// follow sends events as they come; more tells that some are there already.
func (f *feed) follow(id tallygate.JobID, changed <-chan struct{}, more bool) {
	ctx, done := f.call.park(longestFeed)
	defer done()
	beat := time.NewTicker(keepAlive)
	defer beat.Stop()
	end := time.NewTimer(longestFeed)
	defer end.Stop()
	for {
		if !more {
			select {
			case <-ctx.Done():
				return
			case <-f.call.server.life.Done():
				return
			case <-end.C:
				return
			case <-beat.C:
				if !f.flush([]byte(": keep-alive\n\n")) {
					return
				}
				continue
			case <-changed:
			}
		}
		events, err := f.call.server.opt.Queue.Events(ctx, id, f.after, eventBatch)
		if err != nil || !f.send(events) {
			return
		}
		more = len(events) == eventBatch
	}
}

// send writes the events and reports whether the stream goes on.
func (f *feed) send(events []*tallygate.Event) bool {
	f.buffer = f.buffer[:0]
	ended := false
	for _, e := range events {
		f.buffer = appendFeedEvent(f.buffer, e)
		f.after = e.Number
		switch e.Kind {
		case tallygate.EventJobSucceeded, tallygate.EventJobFailed, tallygate.EventJobCancelled:
			ended = true
		}
	}
	return f.flush(f.buffer) && !ended
}

func (f *feed) flush(b []byte) bool {
	_ = f.control.SetWriteDeadline(time.Now().Add(keepAlive + writeTime))
	if _, err := f.call.w.Write(b); err != nil {
		return false
	}
	return f.control.Flush() == nil
}

// appendFeedEvent appends one event as the stream shows it.
func appendFeedEvent(b []byte, e *tallygate.Event) []byte {
	name := "state"
	switch e.Kind {
	case tallygate.EventJobProgress:
		name = "progress"
	case tallygate.EventJobLog:
		name = "log"
	}
	b = append(b, "id: "...)
	b = appendInt(b, e.Number)
	b = append(b, "\nevent: "...)
	b = append(b, name...)
	b = append(b, "\ndata: "...)
	start := len(b)
	b = appendEvent(b, e)
	for i := start; i < len(b); i++ { // a line break would end the field; JSON has them only as white space
		if b[i] == '\n' || b[i] == '\r' {
			b[i] = ' '
		}
	}
	return append(b, "\n\n"...)
}

// appendEvent appends an event: {"id", "kind", "client_id", "subject", "actor", "data", "created_at"}, for a job's
// also the status that it came to.
func appendEvent(b []byte, e *tallygate.Event) []byte {
	b = append(b, `{"id":`...)
	b = appendText(b, e.ID)
	b = append(b, `,"kind":`...)
	b = appendText(b, e.Kind)
	if status := statusOf(e.Kind); status != "" {
		b = append(b, `,"status":`...)
		b = appendText(b, status)
	}
	b = append(b, `,"client_id":`...)
	b = appendTextOrNull(b, e.ClientID)
	b = append(b, `,"subject":`...)
	b = appendText(b, e.Subject)
	b = append(b, `,"actor":`...)
	b = appendTextOrNull(b, e.Actor)
	b = append(b, `,"data":`...)
	b = appendRaw(b, e.Data, "{}")
	b = append(b, `,"created_at":`...)
	b = appendTime(b, e.At)
	return append(b, '}')
}

// statusOf is the status of a job after an event of the kind, empty where the event does not change it.
func statusOf(kind string) tallygate.JobStatus {
	switch kind {
	case tallygate.EventJobProgress, tallygate.EventJobLog:
		return ""
	case tallygate.EventJobRetrying:
		return tallygate.JobQueued
	case tallygate.EventJobCancelRequested:
		return tallygate.JobRunning
	}
	status, ok := strings.CutPrefix(kind, "job.")
	if !ok {
		return ""
	}
	return tallygate.JobStatus(status)
}
