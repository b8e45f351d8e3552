package snippets

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience ends what hangs. Nothing that passes depends on it.
const patience = 2 * time.Minute

// world is what a page finds: an empty folder, an empty home, and a server with a client whose key it is given.
type world struct {
	t        *testing.T
	home     string
	dir      string // where the page's blocks run
	url      string
	operator string // key
	client   string // id
	key      string // the client's
	unset    bool   // TALLYGATE_KEY is left unset
	more     []string

	addresses map[string]string // that the page names, and those that are used instead
}

// bare says which pages begin without a server, and make theirs themselves.
var bare = map[string]func(*world){
	"docs/quickstart.md": func(*world) {},
	"docs/operation.md":  func(*world) {},
	"README.md":          (*world).clone,
}

// kinds say what is special about the worlds of other pages.
var kinds = map[string]func(*world){
	// These speak to operators.
	"docs/jobs.md":      (*world).operators,
	"docs/keys.md":      (*world).operators,
	"docs/money.md":     (*world).operators,
	"docs/workers.md":   (*world).operators,
	"docs/upstreams.md": (*world).operators,

	// These show what a code is met with.
	"docs/errors/INVALID_API_KEY.md": func(w *world) { w.key = w.initialise(filepath.Join(w.home, "other.db")) },
	"docs/errors/EXPIRED_API_KEY.md": func(w *world) {
		w.key = w.newKey("jobs:read", "jobs:write")
		w.call("POST", "/v1/clients/"+w.client+"/api-keys/"+keyID(w.key)+"/rotate", w.operator, `{"overlap":"0s"}`)
	},
	"docs/errors/REVOKED_API_KEY.md": func(w *world) {
		w.key = w.newKey("jobs:read", "jobs:write")
		w.call("POST", "/v1/clients/"+w.client+"/api-keys/"+keyID(w.key)+"/revoke", w.operator, `{}`)
	},
	"docs/errors/SUSPENDED_ACCOUNT.md": func(w *world) {
		w.call("POST", "/v1/clients/"+w.client+"/suspend", w.operator, `{}`)
	},
	"docs/errors/INSUFFICIENT_PERMISSIONS.md": func(w *world) { w.key = w.newKey("preset:read_only") },
	"docs/errors/INSUFFICIENT_BALANCE.md":     func(w *world) { w.newClient("0.05", `{}`) },
	"docs/errors/RATE_LIMIT_EXCEEDED.md": func(w *world) {
		w.newClient("1.00", `{"requests_per_second":0.001,"burst":1}`)
		w.call("GET", "/v1/account", w.key, "")
	},
	"docs/errors/EXTERNAL_SERVICE_ERROR.md": func(w *world) {
		w.call("PUT", "/v1/job-types/page.fetch", w.operator,
			fmt.Sprintf(`{"price":{"base":"0.01"},"executor":{"kind":"http","url":"http://%s"},"max_attempts":1}`, closedAddress(w.t)))
	},
	// Nothing that a caller does leads to these, so a stand-in answers as the server does when it comes to that.
	"docs/errors/INVALID_FORMAT.md": func(w *world) {
		w.standIn(400, "INVALID_FORMAT", "The request format is invalid: Content-Type must be application/json, not \\\"text/plain\\\"", "")
	},
	"docs/errors/INTERNAL_ERROR.md": func(w *world) {
		w.standIn(500, "INTERNAL_ERROR", "An internal server error occurred: Retry with exponential backoff", "")
	},
	"docs/errors/DATABASE_ERROR.md": func(w *world) {
		w.standIn(500, "DATABASE_ERROR", "A database error occurred: the database could not carry out the request; retry after a delay", "1")
	},
	"docs/errors/SERVICE_UNAVAILABLE.md": func(w *world) {
		w.standIn(503, "SERVICE_UNAVAILABLE", "The service is temporarily unavailable: the server is going down for a restart; nothing was done", "2")
	},
}

// newWorld makes the page's world.
func newWorld(t *testing.T, page string) *world {
	t.Helper()
	w := &world{t: t, home: t.TempDir(), dir: t.TempDir()}
	if special, named := bare[page]; named {
		w.alone()
		special(w)
		return w
	}
	database := filepath.Join(w.dir, "tallygate.db")
	w.operator = w.initialise(database)
	w.serve(database)
	w.call("PUT", "/v1/job-types/text.stats", w.operator, `{"description":"Counts the words of a text.",
		"input_schema":{"type":"object","properties":{"text":{"type":"string"}},"required":["text"]},
		"price":{"base":"0.01","units":{"page":{"price":"0.002","max":100}}},"executor":{"kind":"pull"}}`)
	w.newClient("25.00", `{}`)
	w.work()
	if special, named := kinds[page]; named {
		special(w)
	}
	return w
}

// alone is a world without a server. The page's own is to listen on a free port instead of the usual one, and the
// repository is cloned from this tree.
func (w *world) alone() {
	address := closedAddress(w.t)
	w.url, w.unset = "http://"+address, true
	w.more = append(w.more, "TALLYGATE_LISTEN="+address,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url.file://"+root+".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/tallygate/tallygate")
}

// clone has the page begin in a clone of the repository.
func (w *world) clone() {
	if said, err := exec.Command("git", "clone", "--quiet", "file://"+root, w.dir).CombinedOutput(); err != nil {
		w.t.Fatalf("clone: %v\n%s", err, said)
	}
}

// operators is for pages that act as the operator: the client's key has another name there.
func (w *world) operators() {
	w.unset = true
	w.more = append(w.more, "CLIENT="+w.client, "CLIENT_KEY="+w.key)
}

// environment is all that the page's programs see.
func (w *world) environment() []string {
	env := []string{
		"HOME=" + w.home, "PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "LANG=C.UTF-8", "NO_COLOR=1", "PYTHONUNBUFFERED=1",
		"TALLYGATE_URL=" + w.url,
	}
	settings, err := goSettings()
	if err != nil {
		w.t.Fatal(err)
	}
	env = append(env, settings...)
	if w.operator != "" {
		env = append(env, "TALLYGATE_OPERATOR_KEY="+w.operator)
	}
	if !w.unset {
		env = append(env, "TALLYGATE_KEY="+w.key)
	}
	return append(env, w.more...)
}

var loopback = regexp.MustCompile(`127\.0\.0\.1:[0-9]+|"127\.0\.0\.1", [0-9]+`)

// readdress replaces the addresses that a page names, since pages run side by side: the server's by that of the page's
// own server, others by free ones.
func (w *world) readdress(text string) string {
	return loopback.ReplaceAllStringFunc(text, func(named string) string {
		separator := ":"
		if strings.HasPrefix(named, `"`) {
			separator = `", `
			named = strings.Replace(strings.Trim(named, `"`), separator, ":", 1)
		}
		used := w.addresses[named]
		if used == "" {
			used = closedAddress(w.t)
			if named == "127.0.0.1:8080" {
				used = strings.TrimPrefix(w.url, "http://")
			}
			if w.addresses == nil {
				w.addresses = map[string]string{}
			}
			w.addresses[named] = used
		}
		if separator != ":" {
			return `"` + strings.Replace(used, ":", separator, 1)
		}
		return used
	})
}

// usual is what came with the addresses that the page names.
func (w *world) usual(output string) string {
	for named, used := range w.addresses {
		output = strings.ReplaceAll(output, used, named)
	}
	return output
}

func (w *world) initialise(database string) (key string) {
	w.t.Helper()
	out, err := exec.Command(binary, "init", "--database", database, "--json").Output()
	if err != nil {
		w.t.Fatalf("init: %v", err)
	}
	var said struct {
		Key string `json:"operator_key"`
	}
	if err := json.Unmarshal(out, &said); err != nil {
		w.t.Fatal(err)
	}
	return said.Key
}

// serve serves the database until the test ends.
func (w *world) serve(database string) {
	w.t.Helper()
	cmd := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--database", database,
		"--failed-auth-limit", "0", "--shed-delay", "1m")
	cmd.SysProcAttr = dieWithParent(nil)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("the server ended with %v:\n%s", err, &log)
		}
	})
	line := make([]byte, 200)
	n, err := out.Read(line)
	url, found := strings.CutPrefix(string(line[:n]), "tallygate listening on ")
	if err != nil || !found {
		w.t.Fatalf("the server said %q, %v:\n%s", line[:n], err, &log)
	}
	w.url = strings.TrimSpace(url)
}

// call calls the server, which has to answer 200, and decodes the answer.
func (w *world) call(method, path, key, body string) map[string]any {
	w.t.Helper()
	answer, err := w.try(context.Background(), method, path, key, body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

func (w *world) try(ctx context.Context, method, path, key, body string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprint("world-", time.Now().UnixNano()))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	var answer map[string]any
	if err := json.Unmarshal(said, &answer); err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s %s, %w", method, path, res.Status, said, err)
	}
	return answer, nil
}

// newClient makes the client that the page acts as.
func (w *world) newClient(credit, limits string) {
	w.t.Helper()
	w.client = w.call("POST", "/v1/clients", w.operator, `{"name":"Acme","limits":`+limits+`}`)["id"].(string)
	w.call("POST", "/v1/clients/"+w.client+"/credits", w.operator, `{"amount":"`+credit+`"}`)
	w.key = w.newKey("preset:full")
}

// newKey makes a key of the client.
func (w *world) newKey(permissions ...string) string {
	w.t.Helper()
	return w.call("POST", "/v1/clients/"+w.client+"/api-keys", w.operator,
		`{"name":"page","permissions":["`+strings.Join(permissions, `","`)+`"]}`)["key"].(string)
}

// keyID is the id that a key's text names.
func keyID(key string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(key, "tg_live_"), "_")
	return "key_" + id
}

// work does text.stats until the test ends. A text that is empty cannot be counted: that is how a job fails here.
func (w *world) work() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	w.t.Cleanup(func() { cancel(); <-done })
	key, url := w.operator, &world{t: w.t, url: w.url} // the page may be given another address
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			answer, err := url.try(ctx, "POST", "/v1/worker/lease", key, `{"types":["text.stats"],"wait":"30s","worker":"snippets"}`)
			if err != nil {
				if ctx.Err() == nil {
					w.t.Errorf("lease: %v", err)
				}
				return
			}
			for _, one := range answer["leases"].([]any) {
				lease := one.(map[string]any)
				job := lease["job"].(map[string]any)
				text := job["input"].(map[string]any)["text"].(string)
				report := map[string]any{"token": lease["token"]}
				outcome := "succeed"
				if words := len(strings.Fields(text)); words > 0 {
					report["result"], report["units"] = map[string]any{"words": words}, map[string]any{"page": 1 + words/500}
				} else {
					outcome = "fail"
					report["error"], report["retry"] = map[string]any{"message": "the text has no words"}, false
				}
				body, err := json.Marshal(report)
				if err == nil {
					_, err = url.try(ctx, "POST", "/v1/worker/jobs/"+job["id"].(string)+"/"+outcome, key, string(body))
				}
				if err != nil && ctx.Err() == nil {
					w.t.Logf("report: %v", err) // the page may have cancelled the job
				}
			}
		}
	}()
}

// standIn has the page meet one answer, whatever it asks for.
func (w *world) standIn(status int, code, message, retryAfter string) {
	body := fmt.Sprintf(`{"error":{"code":"%s","message":"%s"}}`, code, message)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		h := rw.Header()
		h.Set("Content-Type", "application/json")
		h.Set("X-Error-Code", code)
		h.Set("X-Request-Id", "01m8fnvzyj7mhbx4t43czfy54n")
		h.Set("X-Should-Retry", fmt.Sprint(status >= 500))
		h.Set("Link", `</docs/errors/`+code+`>; rel="help"`)
		if retryAfter != "" {
			h.Set("Retry-After", retryAfter)
		}
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	}))
	w.t.Cleanup(s.Close)
	w.url = s.URL
}

// closedAddress is a loopback address where nobody listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
