package tallygate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

// fake is a server that knows one job; the examples need none of their own.
func fake() *httptest.Server {
	job := func(status string) string {
		return `{"id":"job_1","type":"text.stats","status":"` + status + `","progress":1,"result":{"words":6},"receipt":{"charged":"0.012","currency":"USD"}}`
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.Method + " " + r.URL.Path; path {
		case "POST /v1/jobs":
			_, _ = io.WriteString(w, job("queued"))
		case "GET /v1/jobs/job_1":
			_, _ = io.WriteString(w, job("succeeded"))
		case "GET /v1/jobs":
			if r.URL.Query().Get("cursor") == "" {
				_, _ = io.WriteString(w, `{"data":[`+job("succeeded")+`],"next_cursor":"more"}`)
				return
			}
			_, _ = io.WriteString(w, `{"data":[`+job("failed")+`],"next_cursor":null}`)
		case "GET /v1/jobs/job_1/events":
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: 1\ndata: {\"kind\":\"job.progress\",\"data\":{\"progress\":0.5}}\n\nid: 2\ndata: {\"kind\":\"job.log\",\"data\":{\"line\":\"half of it\"}}\n\n"+
				"id: 3\ndata: {\"kind\":\"job.succeeded\",\"status\":\"succeeded\"}\n\n")
		default:
			w.Header().Set("X-Request-Id", "01jz3v6r1m8k4t2q9w7x5y3b0c")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"error":{"code":"JOB_NOT_FOUND","message":"The specified job was not found: no job of yours has the id \"job_2\""}}`)
		}
	}))
}

func Example() {
	server := fake()
	defer server.Close()
	client, err := tallygate.New(tallygate.WithURL(server.URL), tallygate.WithKey("tg_live_example"))
	if err != nil {
		panic(err)
	}
	type stats struct{ Words int }
	result, err := tallygate.Run[stats](context.Background(), client, "text.stats", map[string]any{"text": "to be or not to be"})
	if err != nil {
		panic(err)
	}
	fmt.Println(result.Words)
	// Output: 6
}

func ExampleJobs_Submit() {
	server := fake()
	defer server.Close()
	client, err := tallygate.New(tallygate.WithURL(server.URL))
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	job, err := client.Jobs.Submit(ctx, tallygate.Submission{
		Type:    "text.stats",
		Input:   map[string]any{"text": "to be or not to be"},
		MaxCost: "0.50",
	}, tallygate.WithIdempotencyKey("order-1042")) // a repeated order is the same job
	if err != nil {
		panic(err)
	}
	if job, err = client.Jobs.Wait(ctx, job.ID, tallygate.WithTimeLimit(time.Minute)); err != nil {
		panic(err)
	}
	fmt.Println(job.Status, job.Receipt.Charged)
	// Output: succeeded 0.012
}

func ExampleJobs_All() {
	server := fake()
	defer server.Close()
	client, err := tallygate.New(tallygate.WithURL(server.URL))
	if err != nil {
		panic(err)
	}
	for job, err := range client.Jobs.All(context.Background(), tallygate.JobFilter{Type: "text.stats"}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(job.ID, job.Status)
	}
	// Output:
	// job_1 succeeded
	// job_1 failed
}

func ExampleJobs_Events() {
	server := fake()
	defer server.Close()
	client, err := tallygate.New(tallygate.WithURL(server.URL))
	if err != nil {
		panic(err)
	}
	for event, err := range client.Jobs.Events(context.Background(), "job_1") {
		if err != nil {
			panic(err)
		}
		if line, ok := event.Log(); ok {
			fmt.Println("log:", line)
		} else if done, ok := event.Progress(); ok {
			fmt.Println("progress:", done)
		} else {
			fmt.Println(event.Kind)
		}
	}
	// Output:
	// progress: 0.5
	// log: half of it
	// job.succeeded
}

func ExampleError() {
	server := fake()
	defer server.Close()
	client, err := tallygate.New(tallygate.WithURL(server.URL))
	if err != nil {
		panic(err)
	}
	_, err = client.Jobs.Get(context.Background(), "job_2")
	if errors.Is(err, tallygate.CodeJobNotFound) {
		fmt.Println("there is no such job")
	}
	if e, ok := errors.AsType[*tallygate.Error](err); ok {
		fmt.Println(e.Status, e.RequestID, e.Attempts)
	}
	if limited, ok := errors.AsType[*tallygate.RateLimitExceededError](err); ok {
		fmt.Println("come back in", limited.RetryAfter)
	}
	// Output:
	// there is no such job
	// 404 01jz3v6r1m8k4t2q9w7x5y3b0c 1
}

func ExampleHandlerOf() {
	type input struct{ Text string }
	type output struct {
		Words int `json:"words"`
	}
	count := tallygate.HandlerOf(func(ctx context.Context, attempt *tallygate.Attempt, in input) (output, error) {
		if in.Text == "" {
			return output{}, tallygate.Final(errors.New("the text is empty")) // another attempt would not help
		}
		attempt.Progress(0.5)
		attempt.Use("kilobyte", 1) // what the client pays for
		return output{len(strings.Fields(in.Text))}, nil
	})
	// A worker would be given tallygate.Worker{Client: client, Handlers: map[string]tallygate.Handler{"text.stats": count}}.
	// A test gives the handler a attempt of its own.
	attempt := &tallygate.Attempt{Job: &tallygate.Job{Input: json.RawMessage(`{"text":"to be or not to be"}`)}}
	result, err := count(context.Background(), attempt)
	fmt.Println(result, err, attempt.Used())
	// Output: {6} <nil> map[kilobyte:1]
}

func ExampleVerifyWebhook() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, "the body is too large, or broke off", http.StatusBadRequest)
			return
		}
		if err := tallygate.VerifyWebhook(payload, r.Header, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"words":6}`)
	}
	w := httptest.NewRecorder()
	handler(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{}`)))
	fmt.Println(w.Code)
	// Output: 401
}
