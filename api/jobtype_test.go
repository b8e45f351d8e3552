package api

import (
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestADefinitionIsReadAsTheAPITakesIt(t *testing.T) {
	got, err := ParseJobType("a", []byte(`{"name":"a","price":{"base":"0.01"},"executor":{"kind":"http","url":" http://x/ ","timeout":"5s"},"limits":{"requests_per_second":2.5}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "a" || got.Price.Base != 10_000 || got.Rate != (tallygate.RateLimit{PerSecond: 2.5, Burst: 3}) ||
		got.Executor != (tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: "http://x/", Timeout: 5 * time.Second}) {
		t.Errorf("got %+v", got)
	}
	if want := queue.Defaults(); got.Lease != want.Lease || got.Retention != want.Retention {
		t.Errorf("the defaults are not the queue's: %+v", got)
	}
}

func TestAnUpstreamsSecretStaysUntilItIsNamed(t *testing.T) {
	h := newHouse(t, newClock().Now, nil)
	for _, step := range []struct{ member, want string }{
		{`,"secret":"first"`, "first"}, {``, "first"}, {`,"secret":null`, ""}, {``, ""}, {`,"secret":"second"`, "second"}, {`,"secret":""`, ""},
	} {
		h.ok("PUT", "/v1/job-types/called", h.operator, `{"executor":{"kind":"http","url":"http://worker.example"`+step.member+`}}`)
		got, err := h.queue.Type(t.Context(), "called")
		if err != nil || got.Executor.Secret != step.want {
			t.Errorf("after %q the secret is %q, want %q; %v", step.member, got.Executor.Secret, step.want, err)
		}
	}
}

func TestFaultsOfADefinitionAreNamed(t *testing.T) {
	for body, want := range map[string]string{
		``:             "the body is not one JSON value: it ends too early",
		`[]`:           "a job type must be a JSON object",
		`{"name":"b"}`: "name: must be left out or the name in the path",
		`{"lese":"30s","price":{"base":1}}`: `/price/base: must be an amount in a string such as "25.00", not 1; ` +
			`lese: is no field of this request; did you mean "lease"?`,
	} {
		_, err := ParseJobType("a", []byte(body))
		if err == nil || tallygate.AsError(err).Detail != want {
			t.Errorf("%s:\ngot  %v\nwant %s", body, err, want)
		}
	}
}
