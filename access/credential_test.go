package access

import (
	"testing"

	"github.com/tallygate/tallygate"
)

func TestCredential(t *testing.T) {
	for name, c := range map[string]struct {
		authorization, apiKey []string
		text                  string
		says                  string // of a refusal
	}{
		"none":                         {nil, nil, "", "holds no API key"},
		"bearer":                       {[]string{"Bearer k"}, nil, "k", ""},
		"bearer in any case":           {[]string{"bEARER k"}, nil, "k", ""},
		"bearer with spaces":           {[]string{" Bearer   k "}, nil, "k", ""},
		"X-API-Key":                    {nil, []string{"k"}, "k", ""},
		"X-API-Key with spaces":        {nil, []string{" k\t"}, "k", ""},
		"the same key in both":         {[]string{"Bearer k"}, []string{"k"}, "k", ""},
		"two different keys":           {[]string{"Bearer k"}, []string{"l"}, "", "different keys"},
		"another scheme":               {[]string{"Basic a2V5"}, nil, "", `"Bearer"`},
		"another scheme and X-API-Key": {[]string{"Basic a2V5"}, []string{"k"}, "", `"Bearer"`},
		"no scheme":                    {[]string{"tg_live_k"}, nil, "", `"Bearer"`},
		"scheme alone":                 {[]string{"Bearer"}, nil, "", `"Bearer"`},
		"scheme and a space":           {[]string{"Bearer "}, nil, "", `"Bearer"`},
		"empty":                        {[]string{""}, nil, "", `"Bearer"`},
		"scheme run together":          {[]string{"Bearerk"}, nil, "", `"Bearer"`},
		"two Authorization headers":    {[]string{"Bearer k", "Bearer k"}, nil, "", "several"},
		"two X-API-Key headers":        {nil, []string{"k", "k"}, "", "several"},
		"two of one and one of both":   {[]string{"Bearer k"}, []string{"k", "k"}, "", "several"},
	} {
		t.Run(name, func(t *testing.T) {
			text, fault := credential(c.authorization, c.apiKey)
			if c.says != "" {
				if fault == nil {
					t.Fatalf("accepted as %q", text)
				}
				wantCode(t, fault, tallygate.AuthenticationFailed, c.says)
			} else if fault != nil || text != c.text {
				t.Errorf("%q, %v, want %q", text, fault, c.text)
			}
		})
	}
}
