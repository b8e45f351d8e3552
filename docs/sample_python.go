package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var pythonNotation = notation{null: "None", yes: "True", no: "False", member: func(name string) string { return quoted(name) + ": " }}

// indents stand at the beginning of lines; Python's are twice as wide.
var indents = regexp.MustCompile(`(?m)^ +`)

// pythonSample calls the operation with the SDK for Python.
func pythonSample(o *operation) string {
	if methods[o.ID] == "" {
		return "import httpx\n\ndocument = httpx.get(\"http://127.0.0.1:8080" + o.target() + "\").json()\nprint(document[\"openapi\"])\n"
	}
	method := methods[o.ID]
	if o.ID == "quoteJob" {
		method = "quotes.create"
	}
	args := quotedAll(o.ids())
	if input := o.input(); input != nil && o.ID == "runJob" {
		args = append(args, pythonNotation.value(input, "  "))
	} else if input != nil {
		for i, value := range input.values {
			args = append(args, input.names[i]+"="+pythonNotation.value(value, "  "))
		}
	}
	for _, p := range o.options() {
		name := map[string]string{"from": "from_", idempotencyKey: "idempotency_key"}[p.name]
		if name == "" {
			name = p.name
		}
		args = append(args, name+"="+pythonNotation.value(p.example, "  "))
	}
	call := layout("client."+method+"(", args, ")", "")
	t := o.telling()
	var b strings.Builder
	b.WriteString("from tallygate import Tallygate\n\nclient = Tallygate()  # TALLYGATE_URL, TALLYGATE_KEY\n")
	shown := t.name
	if len(t.parts) > 0 {
		shown = t.name + "." + strings.Join(t.parts, ", "+t.name+".")
	}
	switch {
	case t.items == "":
		fmt.Fprintf(&b, "%s = %s\nprint(%s)\n", t.name, call, shown)
	case slices.Contains(iterated, o.Answer.schema):
		fmt.Fprintf(&b, "for %s in %s:\n  print(%s)\n", t.name, call, shown)
	default:
		fmt.Fprintf(&b, "answer = %s\nfor %s in answer.%s:\n  print(%s)\n", call, t.name, t.items, shown)
	}
	return indents.ReplaceAllString(b.String(), "$0$0")
}

// iterated are the answers that the SDKs give as their items.
var iterated = []string{"JobList", "JobTypeList", "EntryList", "ApiKeyList", "ClientList", "AuditRecordList", "JobEvent"}

func quotedAll(texts []string) (all []string) {
	for _, text := range texts {
		all = append(all, quoted(text))
	}
	return all
}
