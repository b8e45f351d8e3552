package job

import (
	"errors"
	"strings"
	"testing"
)

func TestDecodeTakesOneObjectOfKnownMembers(t *testing.T) {
	for input, says := range map[string]string{
		`{"a":7}`:                               "",
		` {} `:                                  "",
		``:                                      "the input is refused: EOF",
		`{"a":7`:                                "the input is refused: unexpected EOF",
		`[7]`:                                   "the input must be a JSON object, not array",
		`{"a":"7"}`:                             "a cannot be a string",
		`{"a":7,"b":1}`:                         `the input is refused: unknown field "b"`,
		`{"a":7}{}`:                             "the input goes on after its JSON object",
		`{"` + strings.Repeat("é", 99) + `":1}`: `the input is refused: unknown field "` + strings.Repeat("é", 32) + "…",
	} {
		var v struct {
			A int `json:"a"`
		}
		err := Decode([]byte(input), &v)
		var wrong *InputError
		switch {
		case says == "" && err != nil:
			t.Errorf("%s: %v", input, err)
		case says != "" && (!errors.As(err, &wrong) || wrong.Reason != says):
			t.Errorf("%s: %v, want %q", input, err, says)
		}
	}
}
