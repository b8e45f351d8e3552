package tallygate

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrInvalidWebhook is inside every error of [VerifyWebhook].
var ErrInvalidWebhook = errors.New("tallygate: the signature is not to be trusted")

// webhookTolerance is how far a timestamp may be from now.
const webhookTolerance = 5 * time.Minute

// VerifyWebhook returns nil if the payload, the body's bytes as they came, was signed with the secret within the last
// five minutes, as Standard Webhooks 1.0 has it: so does a server sign its calls of an upstream. Keep the webhook-id of what
// was done: a call may come again.
func VerifyWebhook(payload []byte, header http.Header, secret string) error {
	return verifyWebhook(payload, header, secret, time.Now())
}

func verifyWebhook(payload []byte, header http.Header, secret string, now time.Time) error {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", ErrInvalidWebhook, why) }
	id, timestamp, signatures := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp"), header.Get("Webhook-Signature")
	switch {
	case secret == "":
		return refuse("there is no secret to judge it by")
	case id == "" || timestamp == "" || signatures == "":
		return refuse("a header webhook-id, webhook-timestamp or webhook-signature is missing")
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return refuse("webhook-timestamp is no number of seconds")
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > webhookTolerance || off < -webhookTolerance {
		return refuse("webhook-timestamp is more than 5 minutes from now")
	}
	mac := hmac.New(sha256.New, webhookKey(secret))
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(payload)
	sum := mac.Sum(nil)
	for _, signature := range strings.Fields(signatures) {
		encoded, ok := strings.CutPrefix(signature, "v1,")
		if !ok {
			continue
		}
		if given, err := base64.StdEncoding.DecodeString(encoded); err == nil && hmac.Equal(given, sum) {
			return nil
		}
	}
	return refuse("no signature of webhook-signature is right")
}

// webhookKey reads the form whsec_<base64>; any other secret is the key as it stands.
func webhookKey(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(key) > 0 {
			return key
		}
	}
	return []byte(secret)
}
