package archive

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const testSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// testNow is near enough to the time of a call: a signature may be five minutes old.
var testNow = time.Now()

func TestServiceAnswersResultAndUnits(t *testing.T) {
	server := httptest.NewServer(newService(testSecret, Limits{}))
	defer server.Close()
	request := signedRequest(server.URL, SampleInput(), testNow)
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("answered %d: %s, %v", response.StatusCode, body, err)
	}
	if got := response.Header.Get("X-Tallygate-Units"); got != "entry=5" {
		t.Errorf("units = %q", got)
	}
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type = %q", got)
	}
	if got := decodeResult(t, body); got.Count != 5 || got.Safe {
		t.Errorf("result = %+v", got)
	}
}

func TestServiceRefusesWhatIsNotSignedWell(t *testing.T) {
	body := SampleInput()
	for name, change := range map[string]func(*http.Request){
		"no id":             func(r *http.Request) { r.Header.Del("webhook-id") },
		"no timestamp":      func(r *http.Request) { r.Header.Del("webhook-timestamp") },
		"no signature":      func(r *http.Request) { r.Header.Del("webhook-signature") },
		"another id":        func(r *http.Request) { r.Header.Set("webhook-id", "job_2") },
		"another timestamp": func(r *http.Request) { r.Header.Set("webhook-timestamp", fmt.Sprint(testNow.Unix()+1)) },
		"timestamp in words": func(r *http.Request) {
			r.Header.Set("webhook-timestamp", testNow.Format(time.RFC3339))
		},
		"timestamp beyond durations": func(r *http.Request) { r.Header.Set("webhook-timestamp", "-9223372036854775808") },
		"another body":               func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(`{"archive":"aGk="}`)) },
		"another scheme": func(r *http.Request) {
			r.Header.Set("webhook-signature", strings.Replace(r.Header.Get("webhook-signature"), "v1,", "v1a,", 1))
		},
		"cut signature": func(r *http.Request) {
			r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString([]byte("short")))
		},
		"not base64": func(r *http.Request) { r.Header.Set("webhook-signature", "v1,???") },
		"too old":    func(r *http.Request) { *r = *signedRequest("/", body, testNow.Add(-6*time.Minute)) },
		"too new":    func(r *http.Request) { *r = *signedRequest("/", body, testNow.Add(6*time.Minute)) },
		"another secret": func(r *http.Request) {
			sum := sign([]byte("guess"), "job_1", fmt.Sprint(testNow.Unix()), body)
			r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sum))
		},
	} {
		request := signedRequest("/", body, testNow)
		change(request)
		checkRefusal(t, name, request, Limits{}, http.StatusUnauthorized, "")
	}
}

func TestServiceTakesAnyOfSeveralSignaturesWithinTheTolerance(t *testing.T) {
	for _, at := range []time.Time{testNow.Add(-4 * time.Minute), testNow.Add(4 * time.Minute)} {
		request := signedRequest("/", SampleInput(), at)
		other := base64.StdEncoding.EncodeToString(make([]byte, 32))
		request.Header.Set("webhook-signature", "v1a,x v1,"+other+" "+request.Header.Get("webhook-signature"))
		answer := httptest.NewRecorder()
		newService(testSecret, Limits{}).ServeHTTP(answer, request)
		if answer.Code != http.StatusOK {
			t.Errorf("at %v answered %d: %s", at, answer.Code, answer.Body)
		}
	}
}

func TestServiceRefusesWrongInputForGood(t *testing.T) {
	get := signedRequest("/", nil, testNow)
	get.Method = http.MethodGet
	cut := signedRequest("/", []byte("{}"), testNow)
	cut.Body = io.NopCloser(io.MultiReader(strings.NewReader("{"), failingReader{}))
	checkRefusal(t, "a GET", get, Limits{}, http.StatusMethodNotAllowed, "only POST")
	checkRefusal(t, "no archive", signedRequest("/", []byte(`{"archive":"aGk="}`), testNow), Limits{}, http.StatusBadRequest, "not a zip")
	checkRefusal(t, "empty", signedRequest("/", nil, testNow), Limits{}, http.StatusBadRequest, "refused")
	checkRefusal(t, "a body cut off", cut, Limits{}, http.StatusBadRequest, "too early")
	long := bytes.Repeat([]byte(" "), 70_000)
	checkRefusal(t, "too long", signedRequest("/", long, testNow), Limits{ArchiveBytes: 10}, http.StatusRequestEntityTooLarge, "longer than")
}

func TestServiceWithoutASecretServesNobody(t *testing.T) {
	answer := httptest.NewRecorder()
	Handler("").ServeHTTP(answer, signedRequest("/", SampleInput(), time.Now()))
	if answer.Code != http.StatusInternalServerError {
		t.Errorf("answered %d", answer.Code)
	}
}

func TestServiceInvitesACallerItHasNoTimeFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	busy := newService(testSecret, Limits{})
	for range cap(busy.running) {
		busy.running <- struct{}{}
	}
	for name, service := range map[string]*service{
		"busy":     busy,
		"given up": newService(testSecret, Limits{}),
	} {
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, signedRequest("/", SampleInput(), testNow).WithContext(ctx))
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: answered %d with Retry-After %q", name, answer.Code, answer.Header().Get("Retry-After"))
		}
	}
}

func checkRefusal(t *testing.T, what string, request *http.Request, limits Limits, status int, says string) {
	t.Helper()
	answer := httptest.NewRecorder()
	newService(testSecret, limits).ServeHTTP(answer, request)
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil || body.Error.Message == "" {
		t.Errorf("%s: body = %s", what, answer.Body)
	}
	if answer.Code != status || !strings.Contains(body.Error.Message, says) {
		t.Errorf("%s: answered %d %q, want %d with %q", what, answer.Code, body.Error.Message, status, says)
	}
	if units := answer.Header().Get("X-Tallygate-Units"); units != "" {
		t.Errorf("%s: units = %q", what, units)
	}
}

func signedRequest(url string, body []byte, at time.Time) *http.Request {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(testSecret, "whsec_"))
	if err != nil {
		panic(err)
	}
	id, timestamp := "job_1", fmt.Sprint(at.Unix())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Tallygate-Job-Id", id)
	request.Header.Set("X-Tallygate-Attempt", "1")
	request.Header.Set("X-Tallygate-Lease-Token", "token")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", timestamp)
	request.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(sign(key, id, timestamp, body)))
	return request
}

// sign is the signature of Standard Webhooks 1.0.
func sign(key []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }
