package archive

import (
	"bytes"
	"context"
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

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestServiceAnswersResultAndUnits(t *testing.T) {
	server := httptest.NewServer(newService(testSecret, Limits{}, func() time.Time { return testNow }))
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

func TestServiceTakesTheClockOfTheMachine(t *testing.T) {
	answer := httptest.NewRecorder()
	Handler(testSecret).ServeHTTP(answer, signedRequest("/", SampleInput(), time.Now()))
	if answer.Code != http.StatusOK {
		t.Errorf("answered %d: %s", answer.Code, answer.Body)
	}
}

// The example comes from the specification of Standard Webhooks.
func TestSignatureAgreesWithTheSpecification(t *testing.T) {
	const (
		id, timestamp = "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"
		body          = `{"test": 2432232314}`
		want          = "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	)
	key, err := parseSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got := base64.StdEncoding.EncodeToString(sign(key, id, timestamp, []byte(body))); got != want {
		t.Errorf("signature = %s, want %s", got, want)
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
		"too old":    func(r *http.Request) { *r = *signedRequest("/", body, testNow.Add(-5*time.Minute-time.Second)) },
		"too new":    func(r *http.Request) { *r = *signedRequest("/", body, testNow.Add(5*time.Minute+time.Second)) },
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
	for _, at := range []time.Time{testNow.Add(-5 * time.Minute), testNow.Add(5 * time.Minute)} {
		request := signedRequest("/", SampleInput(), at)
		other := base64.StdEncoding.EncodeToString(make([]byte, 32))
		request.Header.Set("webhook-signature", "v1a,x v1,"+other+" "+request.Header.Get("webhook-signature"))
		answer := httptest.NewRecorder()
		newService(testSecret, Limits{}, func() time.Time { return testNow }).ServeHTTP(answer, request)
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

func TestServiceWithAnUnusableSecretServesNobody(t *testing.T) {
	for _, secret := range []string{"", "whsec_", "whsec_???"} {
		answer := httptest.NewRecorder()
		Handler(secret).ServeHTTP(answer, signedRequest("/", SampleInput(), time.Now()))
		if answer.Code != http.StatusInternalServerError {
			t.Errorf("secret %q: answered %d", secret, answer.Code)
		}
	}
}

func TestServiceInvitesACallerItHasNoTimeFor(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	busy := newService(testSecret, Limits{}, func() time.Time { return testNow })
	for range cap(busy.running) {
		busy.running <- struct{}{}
	}
	for name, service := range map[string]*service{
		"busy":     busy,
		"given up": newService(testSecret, Limits{}, func() time.Time { return testNow }),
	} {
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, signedRequest("/", SampleInput(), testNow).WithContext(ctx))
		if answer.Code != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") != "1" {
			t.Errorf("%s: answered %d with Retry-After %q", name, answer.Code, answer.Header().Get("Retry-After"))
		}
	}
}

func FuzzSignature(f *testing.F) {
	f.Add("job_1", "1772366400", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte("{}"))
	f.Add("", "-1", "v1, v1,= ,", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, given string, body []byte) {
		header := http.Header{}
		header.Set("webhook-id", id)
		header.Set("webhook-timestamp", timestamp)
		header.Set("webhook-signature", given)
		signed, err := parseSignature(header, testNow)
		if err != nil {
			return
		}
		if err := signed.check([]byte("a key that nobody knows"), body); err == nil {
			t.Error("an arbitrary signature is valid")
		}
	})
}

func checkRefusal(t *testing.T, what string, request *http.Request, limits Limits, status int, says string) {
	t.Helper()
	answer := httptest.NewRecorder()
	newService(testSecret, limits, func() time.Time { return testNow }).ServeHTTP(answer, request)
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
	key, err := parseSecret(testSecret)
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

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }
