package client

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func collect(events *[]Event) func(Event) error {
	return func(e Event) error {
		*events = append(*events, e)
		return nil
	}
}

func TestEventsAreParsed(t *testing.T) {
	stream := ": hello\n\nid: 1\nevent: job.queued\ndata: {\"a\":1}\n\nid: 2\r\nevent:job.log\r\ndata: one\r\ndata:two\r\n\r\nretry: 100\n\ndata: last\n\ndata: never ended\n"
	want := []string{`1 job.queued {"a":1}`, "2 job.log one\ntwo", "2 message last"}
	for name, r := range map[string]io.Reader{
		"at once":      strings.NewReader(stream),
		"byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
	} {
		var events []Event
		if broken, stopped := readEvents(r, "", collect(&events)); broken != nil || stopped != nil {
			t.Fatal(name, broken, stopped)
		}
		var got []string
		for _, e := range events {
			got = append(got, e.ID+" "+e.Name+" "+string(e.Data))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestEventsResumeAfterTheLastID(t *testing.T) {
	stream := answer{header: http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}, body: "id: 8\ndata: x\n\n"}
	c, requests, _ := server(t, envelope(503, "SERVICE_UNAVAILABLE", "…"), stream)
	var events []Event
	if err := c.Events(t.Context(), "/v1/jobs/job_1/events", nil, "7", collect(&events)); err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 || events[0].ID != "8" || len(*requests) != 2 {
		t.Errorf("%d requests, events %v", len(*requests), events)
	}
	if got := (*requests)[1].Header.Get("Last-Event-ID"); got != "7" {
		t.Errorf("resumed after %q", got)
	}
}

func TestEventsEndWithTheCallersError(t *testing.T) {
	stream := answer{header: http.Header{"Content-Type": {"text/event-stream"}}, body: "data: x\n\ndata: y\n\n"}
	c, _, _ := server(t, stream)
	enough, calls := errors.New("enough"), 0
	err := c.Events(t.Context(), "/v1/jobs/job_1/events", nil, "", func(Event) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

func TestEventsFromAnotherServer(t *testing.T) {
	c, _, _ := server(t, answer{header: http.Header{"Content-Type": {"text/html"}}, body: "<html>"})
	err := c.Events(t.Context(), "/v1/jobs/job_1/events", nil, "", collect(new([]Event)))
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("got %v", err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: x\ndata: y\n\n")
	f.Add("data\r\rdata:\r\n\r\n")
	f.Fuzz(func(t *testing.T, stream string) {
		var whole, bytewise []Event
		_, _ = readEvents(strings.NewReader(stream), "", collect(&whole))
		_, _ = readEvents(iotest.OneByteReader(strings.NewReader(stream)), "", collect(&bytewise))
		if len(whole) != len(bytewise) {
			t.Errorf("%d events at once, %d byte by byte", len(whole), len(bytewise))
		}
	})
}
