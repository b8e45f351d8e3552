package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// server takes batches once for each key, and fails every fifth job.
type server struct {
	mu      sync.Mutex
	batches map[string][]string // jobs by key
	jobs    int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := strings.CutPrefix(r.URL.Path, "/v1/jobs/job_"); ok {
		job := `{"id":"job_%s","status":"succeeded","result":{"n":%[1]s},"receipt":{"charged":"0.01","currency":"USD"}}`
		if strings.HasSuffix(id, "5") {
			job = `{"id":"job_%s","status":"failed","error":{"code":"PROCESSING_FAILED","message":"unlucky %[1]s"},"receipt":{"charged":"0.00","currency":"USD"}}`
		}
		fmt.Fprintf(w, job, id)
		return
	}
	var body struct{ Jobs []json.RawMessage }
	_ = json.NewDecoder(r.Body).Decode(&body) // what the program sends
	key := r.Header.Get("Idempotency-Key")
	if s.batches[key] == nil {
		for range body.Jobs {
			s.jobs++
			s.batches[key] = append(s.batches[key], fmt.Sprintf(`{"id":"job_%d","status":"queued"}`, s.jobs))
		}
	}
	fmt.Fprintf(w, `{"data":[%s]}`, strings.Join(s.batches[key], ","))
}

func TestEveryLineHasItsResultOnce(t *testing.T) {
	jobs := &server{batches: map[string][]string{}}
	web := httptest.NewServer(jobs)
	defer web.Close()
	t.Setenv("TALLYGATE_URL", web.URL)
	t.Setenv("TALLYGATE_KEY", "tg_live_test")
	input := strings.Repeat("{\"text\":\"a\"}\n\n", 23)
	var runs []string
	for range 2 { // the second is the first again
		out, err := os.Create(filepath.Join(t.TempDir(), "results"))
		if err != nil {
			t.Fatal(err)
		}
		screen, err := os.Create(filepath.Join(t.TempDir(), "screen"))
		if err != nil {
			t.Fatal(err)
		}
		failed, err := run(t.Context(), []string{"-type", "text.stats", "-batch", "10"}, strings.NewReader(input), out, screen)
		if err != nil || failed != 2 {
			t.Fatalf("%d failed, %v", failed, err)
		}
		results, _ := os.ReadFile(out.Name())
		shown, _ := os.ReadFile(screen.Name())
		if last := strings.TrimSpace(string(shown[strings.LastIndex(strings.TrimSpace(string(shown)), "\n")+1:])); last != strings.Repeat("█", 30)+"  23 of 23, 2 failed, 0.21 USD" {
			t.Errorf("shown last: %q", last)
		}
		runs = append(runs, string(results))
	}
	if jobs.jobs != 23 || runs[0] != runs[1] {
		t.Errorf("%d jobs, results\n%s and\n%s", jobs.jobs, runs[0], runs[1])
	}
	lines := slices.Collect(strings.Lines(runs[0]))
	if len(lines) != 23 || lines[3] != `{"job":"job_4","result":{"n":4},"charged":"0.01"}`+"\n" ||
		lines[4] != `{"job":"job_5","result":null,"error":{"code":"PROCESSING_FAILED","message":"unlucky 5"},"charged":"0.00"}`+"\n" {
		t.Errorf("results\n%s", runs[0])
	}
}

func TestWrongUseIsTold(t *testing.T) {
	for says, args := range map[string][]string{"-type is required": {}, "line 2 is not JSON": {"-type", "x"}} {
		if _, err := run(t.Context(), args, strings.NewReader("{}\nnope\n"), nil, os.Stderr); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
