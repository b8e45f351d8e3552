package docs

import (
	"strings"
)

// curlSample calls the operation with curl.
func curlSample(o *operation) string {
	input := o.input()
	command := "curl"
	switch {
	case o.Answer.Type == "event stream":
		command += " --no-buffer"
	case o.Method != "GET" && (o.Method != "POST" || input == nil): // which --data means
		command += " --request " + o.Method
	}
	parts := []string{command + ` "$TALLYGATE_URL` + o.target() + `"`}
	if o.Permission != "" {
		parts = append(parts, `--header "Authorization: Bearer $TALLYGATE_KEY"`)
	}
	for _, p := range o.parameters {
		if p.name == idempotencyKey {
			parts = append(parts, `--header "`+p.name+`: `+p.example.text()+`"`)
		}
	}
	if input != nil {
		parts = append(parts, `--header "Content-Type: application/json"`, `--data `+shellQuoted(input.format("  ", "--data ", sampleWidth)))
	}
	return strings.Join(parts, " \\\n  ") + "\n"
}

// shellQuoted is the text as one word of a shell.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
