package access

import (
	"strings"

	"github.com/tallygate/tallygate"
)

// The faults of how a key is sent, made once like those of its text.
var (
	errNoKey    = tallygate.Errorf(tallygate.AuthenticationFailed, "the request holds no API key%s", howToSend)
	errRepeated = tallygate.Errorf(tallygate.AuthenticationFailed, "the request holds several Authorization or several X-API-Key headers; send one key in one header")
	errScheme   = tallygate.Errorf(tallygate.AuthenticationFailed, `the Authorization header must read "Bearer", a space and the API key`)
	errTwoKeys  = tallygate.Errorf(tallygate.AuthenticationFailed, "Authorization and X-API-Key hold different keys; send one key")
)

// credential finds the one key's text in the values of the Authorization and X-API-Key headers.
func credential(authorization, apiKey []string) (text string, fault *tallygate.Error) {
	if len(authorization)+len(apiKey) == 0 {
		return "", errNoKey
	}
	if len(authorization) > 1 || len(apiKey) > 1 {
		return "", errRepeated
	}
	if len(apiKey) == 1 {
		text = strings.Trim(apiKey[0], " \t")
		if len(authorization) == 0 {
			return text, nil
		}
	}
	bearer, fault := bearerToken(authorization[0])
	if fault == nil && len(apiKey) == 1 && bearer != text {
		fault = errTwoKeys
	}
	return bearer, fault
}

// bearerToken reads "Bearer" in any case, spaces and a token (RFC 6750, RFC 9110).
func bearerToken(header string) (string, *tallygate.Error) {
	const scheme = "Bearer"
	header = strings.Trim(header, " \t")
	if len(header) <= len(scheme) || header[len(scheme)] != ' ' || !strings.EqualFold(header[:len(scheme)], scheme) {
		return "", errScheme
	}
	return strings.TrimLeft(header[len(scheme):], " "), nil
}
