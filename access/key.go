package access

import (
	"crypto/rand"
	"encoding/base32"
	"hash/crc32"
	"strings"

	"github.com/tallygate/tallygate"
)

// The text of a key is keyPrefix, the key ID without its own prefix, the secret and the checksum, with underscores
// between. The checksum tells typing errors and junk from keys without a lookup: the low 30 bits of the CRC-32 (IEEE)
// of everything before its underscore.
const (
	keyPrefix      = "tg_live_"
	bodyLength     = 26 // of the key ID without its prefix
	secretLength   = 32 // 160 random bits
	checksumLength = 6

	secretAt   = len(keyPrefix) + bodyLength + 1
	checksumAt = secretAt + secretLength + 1
	keyLength  = checksumAt + checksumLength
)

// alphabet is Crockford's base32 in lower case, as in the typed identifiers.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// NewSecret makes 160 random bits in 32 characters.
func NewSecret() string {
	var bits [secretLength * 5 / 8]byte
	_, _ = rand.Read(bits[:]) // crypto/rand.Read never fails: it ends the process instead
	return encoding.EncodeToString(bits[:])
}

// FormatKey writes the text of the key with the ID and secret.
func FormatKey(id tallygate.KeyID, secret string) string {
	text := keyPrefix + strings.TrimPrefix(string(id), tallygate.KeyPrefix) + "_" + secret
	sum := checksum(text)
	return text + "_" + string(sum[:])
}

// ParseKey reads the text of a key. Its errors are AUTHENTICATION_FAILED, say what is wrong, and never hold the text.
func ParseKey(text string) (id tallygate.KeyID, secret string, err error) {
	body, secret, fault := parseKey(text)
	if fault != nil {
		return "", "", fault
	}
	return tallygate.KeyID(tallygate.KeyPrefix + body), secret, nil
}

// MakeUnknownKey makes the text of a key that is well-formed and that no store knows, for probing a server.
func MakeUnknownKey() string {
	id := "0" + NewSecret()[:bodyLength-1] // a first digit above 7 would not be an identifier
	return FormatKey(tallygate.KeyID(tallygate.KeyPrefix+id), NewSecret())
}

const howToSend = `; send it as "Authorization: Bearer tg_live_…" or "X-API-Key: tg_live_…"`

// The faults of a key's text. They are made once, since junk must cost next to nothing.
var (
	errPrefix   = tallygate.Errorf(tallygate.AuthenticationFailed, "an API key begins with tg_live_%s", howToSend)
	errShape    = tallygate.Errorf(tallygate.AuthenticationFailed, "an API key has %d characters, tg_live_<id>_<secret>_<checksum>, with small letters and digits; this one was cut, or something was added%s", keyLength, howToSend)
	errChecksum = tallygate.Errorf(tallygate.AuthenticationFailed, "the key's checksum does not match, so a character of it is wrong; copy the whole key again%s", howToSend)
)

// parseKey is ParseKey without making an ID: body is the key ID without its prefix.
func parseKey(text string) (body, secret string, fault *tallygate.Error) {
	if !strings.HasPrefix(text, keyPrefix) {
		return "", "", errPrefix
	}
	if len(text) != keyLength || text[secretAt-1] != '_' || text[checksumAt-1] != '_' {
		return "", "", errShape
	}
	body, secret = text[len(keyPrefix):secretAt-1], text[secretAt:checksumAt-1]
	if body[0] > '7' || !isBase32(body) || !isBase32(secret) {
		return "", "", errShape
	}
	if sum := checksum(text[:checksumAt-1]); string(sum[:]) != text[checksumAt:] {
		return "", "", errChecksum
	}
	return body, secret, nil
}

// digits tells which bytes are in the alphabet.
var digits = func() (in [256]bool) {
	for _, c := range []byte(alphabet) {
		in[c] = true
	}
	return in
}()

func isBase32(s string) bool {
	for i := range len(s) {
		if !digits[s[i]] {
			return false
		}
	}
	return true
}

func checksum(s string) (sum [checksumLength]byte) {
	crc := crc32.ChecksumIEEE([]byte(s))
	for i := checksumLength - 1; i >= 0; i-- {
		sum[i] = alphabet[crc&31]
		crc >>= 5
	}
	return sum
}
