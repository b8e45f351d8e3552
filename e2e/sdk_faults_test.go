package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sdks are the SDKs by the drivers under drivers/, programs that do one thing with one SDK:
// "submit N" submits N jobs and prints their IDs, "work" works until SIGTERM, "herd N" calls once with each of N clients
// and prints how many seconds each waited before it tried again.
var sdks = map[string]func(t *testing.T) []string{
	"go": func(t *testing.T) []string {
		path := filepath.Join(t.TempDir(), "driver")
		if said, err := exec.Command("go", "build", "-o", path, "./drivers/go").CombinedOutput(); err != nil {
			t.Fatalf("build the driver: %v\n%s", err, said)
		}
		return []string{path}
	},
	"python": func(*testing.T) []string {
		return []string{"python3", "drivers/python/driver.py"}
	},
	"typescript": func(*testing.T) []string { return []string{"node", "drivers/typescript/driver.mjs"} },
}

// driver is the command that has an SDK do something at url with key.
func driver(t *testing.T, sdk, url, key string, args ...string) *exec.Cmd {
	line := append(sdks[sdk](t), args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "TALLYGATE_URL="+url, "TALLYGATE_KEY="+key, "PYTHONPATH=../sdk/python/src")
	return cmd
}

// TestSDKsThroughFaults submits a thousand jobs through each SDK, and has them done by its worker loop, both through a
// fault server, while the server itself is killed three times. Every submit that returned is one job with one charge.
func TestSDKsThroughFaults(t *testing.T) {
	t.Parallel()
	for sdk := range sdks {
		t.Run(sdk, func(t *testing.T) {
			t.Parallel()
			submitsThroughFaults(t, sdk)
		})
	}
}

func submitsThroughFaults(t *testing.T, sdk string) {
	const count = 1000
	s := serve(t, setup{listen: freeAddress(t)})
	s.define(t, metered, pullType(object{"lease": "2s", "max_attempts": 10})) // an answer with leases may be lost, too
	c := s.newClient(t, "1000")
	w := s.newWorker(t)
	f := newFaultServer(t, s)
	working := spawn(t, driver(t, sdk, f.url, w.key, "work"))
	submitting := spawn(t, driver(t, sdk, f.url, c.key, "submit", strconv.Itoa(count)))

	kills := 0
	asLongAsRequestsCome(t, f, submitting, func() {
		if kills < 3 && f.answered() > (kills+1)*count/4 {
			kills++
			s.kill()
			s.start()
		}
	})
	if code := submitting.exitCode(t); code != 0 {
		t.Fatalf("the driver ended with %d:\n%s", code, submitting.stderr)
	}
	ids := strings.Fields(submitting.stdout.String())
	slices.Sort(ids)
	if ids = slices.Compact(ids); len(ids) != count || kills != 3 {
		t.Errorf("%d submits returned %d different jobs, with %d kills between them", count, len(ids), kills)
	}

	op := s.operator(t) // who looks is not limited
	defer func() {
		if t.Failed() {
			t.Logf("the worker said:\n%s", working.stderr)
		}
	}()
	for left := int64(-1); left != 0; {
		before := left
		until(t, "the worker goes on", func() bool {
			a := op.get("/v1/clients/" + c.id).ok()
			left = a.number("jobs.queued") + a.number("jobs.running")
			if working.gone() {
				t.Fatalf("the worker ended with %d:\n%s", working.exitCode(t), working.stderr)
			}
			return left == 0 || left != before
		})
	}
	working.signal(syscall.SIGTERM)
	if code := working.exitCode(t); code != 0 {
		t.Errorf("the worker ended with %d:\n%s", code, working.stderr)
	}

	var charged int64
	jobs := op.pages("/v1/jobs?client_id=" + c.id)
	for _, j := range jobs {
		if j.text("status") != "succeeded" {
			t.Errorf("job %s", j)
		}
		if _, asked := slices.BinarySearch(ids, j.text("id")); !asked {
			t.Errorf("no submit returned job %s", j.text("id"))
		}
		charged += money(t, j.text("receipt.charged"))
	}
	charges := 0
	for _, e := range op.pages("/v1/clients/" + c.id + "/entries") {
		if e.text("kind") == "charge" {
			charges++
		}
	}
	if len(jobs) != count || charges != count {
		t.Errorf("%d submits made %d jobs and %d charges", count, len(jobs), charges)
	}
	if b := c.balance(); b.held != 0 || b.posted != 1000_000_000-charged || charged != count*(meteredBase+meteredPage) {
		t.Errorf("the balance is %+v after charges of %d", b, charged)
	}
	s.audit()
	t.Logf("%s: %d jobs, %d charges, %d kills; %s", sdk, len(jobs), charges, kills, f)
}

// asLongAsRequestsCome waits for the end of a process whose requests come through f, as long as some come, and calls meanwhile.
func asLongAsRequestsCome(t *testing.T, f *faultServer, p *process, meanwhile func()) {
	for !p.gone() {
		before := f.requests()
		until(t, "requests come", func() bool { return p.gone() || f.requests() > before })
		meanwhile()
	}
}

// TestCallersThatWereRefusedTogetherComeBackSpread has a thousand clients of each SDK refused at one time, told to wait a
// second. How long each chose to wait is judged; when they came is printed, since that is the machine's doing as well.
func TestCallersThatWereRefusedTogetherComeBackSpread(t *testing.T) {
	t.Parallel()
	for sdk := range sdks {
		t.Run(sdk, func(t *testing.T) { comesBackSpread(t, sdk) })
	}
}

func comesBackSpread(t *testing.T, sdk string) {
	const count = 1000
	var mu sync.Mutex
	refused := map[string]time.Time{}
	var came []time.Duration
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		key := r.Header.Get("Authorization")
		if first, again := refused[key]; again {
			came = append(came, time.Since(first))
			_, _ = io.WriteString(w, `{"id":"cl_00000000000000000000000001","name":"one of many"}`)
			return
		}
		refused[key] = time.Now()
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":{"code":"SERVICE_UNAVAILABLE","message":"The service is temporarily unavailable: wait"}}`)
	}))
	t.Cleanup(busy.Close)
	p := spawn(t, driver(t, sdk, busy.URL, "tg_live_many", "herd", strconv.Itoa(count)))
	if code := p.exitCode(t); code != 0 {
		t.Fatalf("the driver ended with %d:\n%s", code, p.stderr)
	}
	var waits []time.Duration
	for _, line := range strings.Fields(p.stdout.String()) {
		seconds, err := strconv.ParseFloat(line, 64)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits, time.Duration(seconds*float64(time.Second)))
	}
	if len(waits) != count || len(came) != count {
		t.Fatalf("%d clients told of %d waits and came back %d times", count, len(waits), len(came))
	}
	chosen := histogram(waits)
	t.Logf("%s: the waits that %d clients chose\n%s\nand after how long they came\n%s", sdk, count, draw(chosen), draw(histogram(came)))
	for tenth := 10; tenth < 20; tenth++ {
		if n := chosen[tenth]; n < 40 || n > 180 { // 100 are expected, 9.5 the standard deviation
			t.Errorf("%d clients of %d wait from %.1f s on for a tenth of a second", n, count, float64(tenth)/10)
		}
	}
	for tenth, n := range chosen {
		if tenth < 10 || tenth >= 20 {
			t.Errorf("%d clients wait %.1f s although they were told to wait a second", n, float64(tenth)/10)
		}
	}
}

// histogram counts by tenths of a second.
func histogram(all []time.Duration) map[int]int {
	counts := map[int]int{}
	for _, d := range all {
		counts[int(d/(100*time.Millisecond))]++
	}
	return counts
}

func draw(counts map[int]int) string {
	var tenths []int
	for tenth := range counts {
		tenths = append(tenths, tenth)
	}
	slices.Sort(tenths)
	var b strings.Builder
	for _, tenth := range tenths {
		fmt.Fprintf(&b, "%5.1f s %4d %s\n", float64(tenth)/10, counts[tenth], strings.Repeat("█", (counts[tenth]+4)/5))
	}
	return b.String()
}
