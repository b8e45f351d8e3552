package executor

import (
	"net/http"
	"testing"
	"time"
)

// The example comes from the specification of Standard Webhooks.
func TestTheSignatureAgreesWithTheSpecification(t *testing.T) {
	h := http.Header{}
	sign(h, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if got := h.Get("webhook-signature"); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Error(got)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Error(h)
	}
}

func TestWithoutASecretNothingIsSigned(t *testing.T) {
	h := http.Header{}
	sign(h, "", "id", time.Unix(1614265330, 0), nil)
	if len(h) != 0 {
		t.Error(h)
	}
}

func TestSigningKey(t *testing.T) {
	for secret, want := range map[string]string{
		"whsec_c2VjcmV0": "secret",
		"c2VjcmV0":       "c2VjcmV0",
		"whsec_":         "whsec_",
		"whsec_not base": "whsec_not base",
	} {
		if got := string(signingKey(secret)); got != want {
			t.Errorf("%s gives %q, want %q", secret, got, want)
		}
	}
}
