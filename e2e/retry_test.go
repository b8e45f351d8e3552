package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"testing"
)

// language is one of the two in which the contract prints its retry function. The program is the function as printed,
// in testdata, followed by a driver that calls it many times at once.
type language struct {
	name    string
	program string
	args    []string
	needs   []string // to find out whether it can run at all
	printed string
	driver  string
}

var languages = []language{
	{
		name: "Python", program: "python3", args: []string{"-"},
		needs:   []string{"-c", "import requests"},
		printed: "testdata/retry.py",
		driver: `
import json, os, sys, threading
url, key, count, times, body = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5])
answers, ready = [], threading.Barrier(count)
def call():
    ready.wait()
    for _ in range(times):
        try:
            answers.append({"job": make_request_with_retry(url, {"Authorization": "Bearer " + key}, body)["id"]})
        except Exception as e:
            answers.append({"error": repr(e)})
threads = [threading.Thread(target=call) for _ in range(count)]
[t.start() for t in threads]
[t.join() for t in threads]
print(json.dumps(answers))
`,
	},
	{
		name: "JavaScript", program: "node", args: []string{"--input-type=module", "-"},
		needs:   []string{"-e", "if (!globalThis.fetch) process.exit(1)"},
		printed: "testdata/retry.mjs",
		driver: `
const [url, key, count, times, body] = process.argv.slice(2);
const options = { method: 'POST', headers: { Authorization: 'Bearer ' + key, 'Content-Type': 'application/json' }, body };
const answers = [];
const call = async () => {
  for (let i = 0; i < Number(times); i++) {
    answers.push(await makeRequestWithRetry(url, options).then(job => ({ job: job.id }), error => ({ error: String(error) })));
  }
};
await Promise.all(Array.from({ length: Number(count) }, call));
console.log(JSON.stringify(answers));
`,
	},
}

// submits has so many callers at once submit a job so many times each by the language's retry function, and returns the
// jobs' IDs; every call has to succeed.
func (l language) submits(t *testing.T, base string, c customer, callers, times int) []string {
	t.Helper()
	ids, failed := l.tries(t, base, c, callers, times)
	for _, why := range failed {
		t.Errorf("a call failed for good: %s", why)
	}
	return ids
}

// tries is submits, where calls may fail. It returns why they did.
func (l language) tries(t *testing.T, base string, c customer, callers, times int) (ids, failed []string) {
	t.Helper()
	printed, err := os.ReadFile(l.printed)
	if err != nil {
		t.Fatal(err)
	}
	args := append(append([]string{}, l.args...), base+"/v1/jobs", c.key, strconv.Itoa(callers), strconv.Itoa(times), someJob)
	r := runCommand(t, l.program, nil, string(printed)+l.driver, args...).exits(0)
	var answers []struct{ Job, Error string }
	if err := json.Unmarshal([]byte(r.stdout), &answers); err != nil {
		t.Fatalf("%s: %v in %q", l.name, err, r.stdout)
	}
	for _, a := range answers {
		if a.Error != "" {
			failed = append(failed, a.Error)
		} else {
			ids = append(ids, a.Job)
		}
	}
	return ids, failed
}

// mustRun skips a language that is not installed; where nothing may be left out, that is a failure.
func (l language) mustRun(t *testing.T) {
	t.Helper()
	if err := exec.Command(l.program, l.needs...).Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI needs %s for this test, with the requests package where it is Python: %v", l.program, err)
		}
		t.Skipf("SKIPPED: %s cannot run the contract's retry function: %v", l.program, err)
	}
}

// eachLanguage runs the test in both.
func eachLanguage(t *testing.T, test func(t *testing.T, l language)) {
	t.Parallel()
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			l.mustRun(t)
			test(t, l)
		})
	}
}

// paidOnce makes sure that the ledger knows of these jobs, and of no more beside them than are unknown, each with one hold
// and no other entry.
func paidOnce(t *testing.T, c customer, jobs []string, unknown int) {
	t.Helper()
	op := c.server.operator(t) // without a limit
	there := op.pages("/v1/jobs?client_id=" + c.id)
	if len(there) < len(jobs) || len(there) > len(jobs)+unknown {
		t.Errorf("%d jobs, want %d, and as many as %d more of unknown outcome", len(there), len(jobs), unknown)
	}
	holds := map[string]int{}
	for _, e := range op.pages("/v1/clients/" + c.id + "/entries") {
		if kind := e.text("kind"); kind == "hold" {
			holds[e.text("job_id")]++
		} else if kind != "credit" {
			t.Errorf("the entry %s has no business here", e)
		}
	}
	for _, id := range jobs {
		if holds[id] != 1 {
			t.Errorf("job %s has %d holds, want 1", id, holds[id])
		}
	}
	if len(holds) != len(there) {
		t.Errorf("%d jobs have holds, of %d", len(holds), len(there))
	}
	total := money(t, op.get("/v1/clients/"+c.id).ok().text("balance.held"))
	if want := int64(len(there)) * meteredQuote; total != want {
		t.Errorf("held are %d millionths, want %d", total, want)
	}
}

func TestPrintedRetryFunctionSubmitsWithOneRequest(t *testing.T) {
	eachLanguage(t, func(t *testing.T, l language) {
		s := serve(t, setup{})
		s.define(t, metered, pullType())
		c := s.newClient(t, "100")
		behind, requests := counting(t, s)
		paidOnce(t, c, l.submits(t, behind, c, 1, 1), 0)
		if n := requests.Load(); n != 1 {
			t.Errorf("%d requests, want 1", n)
		}
	})
}

// counting is a proxy before the server that counts requests.
func counting(t *testing.T, s *server) (address string, requests *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	requests = &atomic.Int64{}
	forward := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	return proxy.URL, requests
}

// TestPrintedRetryFunctionClearsABurst: twice what passes at once succeeds within three tries, since the limit refills
// smoothly: the third try comes three seconds after the first, and by then the other half has been let in.
func TestPrintedRetryFunctionClearsABurst(t *testing.T) {
	const burst = 30
	eachLanguage(t, func(t *testing.T, l language) {
		s := serve(t, setup{})
		s.define(t, metered, pullType())
		c := s.newClient(t, "100", object{"limits": object{"requests_per_second": 12, "burst": burst}})
		behind, requests := counting(t, s)
		ids := l.submits(t, behind, c, 2*burst, 1)
		t.Logf("%d requests for %d jobs", requests.Load(), len(ids))
		paidOnce(t, c, ids, 0)
	})
}

// TestPrintedRetryFunctionOutlivesARestart: no call is lost to a server that is stopped and started again under the
// calls, and none is paid twice although they bear no Idempotency-Key.
func TestPrintedRetryFunctionOutlivesARestart(t *testing.T) {
	const callers, times = 10, 20
	eachLanguage(t, func(t *testing.T, l language) {
		s := serve(t, setup{listen: freeAddress(t)})
		s.define(t, metered, pullType())
		c := s.newClient(t, "1000", object{"limits": object{"requests_per_second": 10_000, "burst": 10_000}})
		done := make(chan []string, 1)
		go func() {
			defer close(done) // also where a call has failed the test
			done <- l.submits(t, s.url, c, callers, times)
		}()
		until(t, "half of the jobs are there", func() bool { return c.jobsSoFar() >= callers*times/2 })
		s.stop()
		s.start()
		paidOnce(t, c, <-done, 0)
	})
}

// jobsSoFar counts the jobs that wait, by the account.
func (c customer) jobsSoFar() int {
	a, err := c.try("GET", "/v1/account", nil)
	if err != nil || a.status != http.StatusOK {
		return 0
	}
	return int(a.number("jobs.queued"))
}

// freeAddress is a loopback address that a server can come back to: its port is none that the system gives to others.
func freeAddress(t *testing.T) string {
	t.Helper()
	const first, last = 10_000, 32_000 // below what systems give out by themselves
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first))
		l, err := net.Listen("tcp", address)
		if err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}
