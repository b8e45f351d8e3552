package archive

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	signatureTolerance = 5 * time.Minute
	mostSignatures     = 10 // while a secret is rotated there are two
)

var (
	errUnsigned  = errors.New("the headers webhook-id, webhook-timestamp and webhook-signature are required")
	errStale     = errors.New("webhook-timestamp is more than 5 minutes off")
	errSignature = errors.New("the signature is wrong")
)

// signature is what the headers of a request claim, as in Standard Webhooks
// 1.0: HMAC-SHA256 over "id.timestamp.body", in base64.
type signature struct {
	id, timestamp string
	sums          [][]byte
}

// parseSecret reads the form whsec_<base64>.
func parseSecret(secret string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(key) == 0 {
		return nil, errors.New("the signing secret is not of the form whsec_<base64>")
	}
	return key, nil
}

// parseSignature reads the headers, and refuses a stale one before anybody
// reads the body.
func parseSignature(header http.Header, now time.Time) (signature, error) {
	s := signature{id: header.Get("webhook-id"), timestamp: header.Get("webhook-timestamp")}
	given := header.Get("webhook-signature")
	if s.id == "" || s.timestamp == "" || given == "" {
		return signature{}, errUnsigned
	}
	seconds, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil {
		return signature{}, errUnsigned
	}
	// Compared in seconds: a far-off time would run over as a duration.
	tolerance := int64(signatureTolerance / time.Second)
	if seconds < now.Unix()-tolerance || seconds > now.Unix()+tolerance {
		return signature{}, errStale
	}
	for part := range strings.FieldsSeq(given) {
		encoded, ok := strings.CutPrefix(part, "v1,")
		if !ok {
			continue // of another scheme
		}
		if sum, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(sum) == sha256.Size {
			s.sums = append(s.sums, sum)
		}
		if len(s.sums) == mostSignatures {
			break
		}
	}
	if len(s.sums) == 0 {
		return signature{}, errSignature
	}
	return s, nil
}

// check compares in constant time.
func (s signature) check(key, body []byte) error {
	want := sign(key, s.id, s.timestamp, body)
	valid := false
	for _, sum := range s.sums {
		valid = hmac.Equal(sum, want) || valid
	}
	if !valid {
		return errSignature
	}
	return nil
}

func sign(key []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}
