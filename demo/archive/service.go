package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

// Handler serves [Inspect] to a job server that posts a job's input and signs
// it with secret. It answers
//
//   - 200 with the result, and the units in X-Tallygate-Units;
//   - 400, 405 or 413 where the request is wrong for good;
//   - 401 where the signature is missing, stale or wrong;
//   - 500 where there is no secret;
//   - 503 where the server has no time.
//
// An error reads {"error":{"message":"..."}}. As many inspections run at a time
// as there are processors; more wait.
func Handler(secret string) http.Handler {
	return newService(secret, Limits{})
}

type service struct {
	secret  string
	limits  Limits
	running chan struct{}
}

func newService(secret string, limits Limits) *service {
	return &service{
		secret:  secret,
		limits:  limits.orDefault(),
		running: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, errors.New("only POST is served"))
		return
	}
	if s.secret == "" {
		refuse(w, http.StatusInternalServerError, errors.New("the signing secret is not set"))
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(mostInput(s.limits))))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Errorf("the body is longer than %d bytes", tooLarge.Limit))
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, errors.New("the body ends too early"))
		return
	}
	if err := sdk.VerifyWebhook(body, r.Header, s.secret); err != nil {
		refuse(w, http.StatusUnauthorized, err)
		return
	}

	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	case <-r.Context().Done():
		refuse(w, http.StatusServiceUnavailable, errors.New("the service is busy"))
		return
	}
	result, units, err := s.limits.Inspect(r.Context(), body)
	var wrong *InputError
	switch {
	case errors.As(err, &wrong):
		refuse(w, http.StatusBadRequest, wrong)
	case r.Context().Err() != nil:
		refuse(w, http.StatusServiceUnavailable, errors.New("the request was given up"))
	case err != nil:
		refuse(w, http.StatusInternalServerError, errors.New("the inspection failed"))
	default:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Tallygate-Units", fmt.Sprintf("entry=%d", units["entry"]))
		_, _ = w.Write(result) // a caller that is gone asks again
	}
}

// refuse answers an error; 503 invites to come back soon.
func refuse(w http.ResponseWriter, status int, cause error) {
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	body := map[string]map[string]string{"error": {"message": cause.Error()}}
	_ = json.NewEncoder(w).Encode(body)
}
