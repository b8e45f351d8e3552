package docs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	identifier         = regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_$]*$`)
	typescriptNotation = notation{null: "null", yes: "true", no: "false", spaced: true, member: func(name string) string {
		if identifier.MatchString(name) {
			return name + ": "
		}
		return quoted(name) + ": "
	}}
)

// longCall is more than a line has room for beside what is done with the call.
const longCall = 60

// typescriptSample calls the operation with the SDK for TypeScript.
func typescriptSample(o *operation) string {
	if methods[o.ID] == "" {
		return "const answer = await fetch(\"http://127.0.0.1:8080" + o.target() + "\");\nconst document = await answer.json();\nconsole.log(document.openapi);\n"
	}
	args := quotedAll(o.ids())
	switch input := o.input(); {
	case input == nil:
	case o.ID == "submitJobBatch":
		args = append(args, typescriptNotation.value(input.get("jobs"), ""))
	default:
		args = append(args, typescriptNotation.value(input, ""))
	}
	var options []string
	for _, p := range o.options() {
		name := p.name
		if name == idempotencyKey {
			name = "idempotencyKey"
		}
		options = append(options, name+": "+typescriptNotation.value(p.example, "  "))
	}
	if len(options) > 0 {
		args = append(args, typescriptNotation.object(options, ""))
	}
	call := "client." + camel(methods[o.ID]) + "(" + strings.Join(args, ", ") + ")"
	if input := o.input(); len(call) > longCall && !strings.Contains(call, "\n") && input != nil {
		args[len(o.ids())] = broken("{", typescriptNotation.parts(input, ""), "}", "")
		call = "client." + camel(methods[o.ID]) + "(" + strings.Join(args, ", ") + ")"
	}
	t := o.telling()
	name := camel(t.name)
	shown := name
	if len(t.parts) > 0 {
		shown = name + "." + strings.Join(t.parts, ", "+name+".")
	}
	var b strings.Builder
	b.WriteString("import { Tallygate } from \"tallygate\";\n\nconst client = new Tallygate(); // TALLYGATE_URL, TALLYGATE_KEY\n")
	switch {
	case t.items == "":
		fmt.Fprintf(&b, "const %s = await %s;\nconsole.log(%s);\n", name, call, shown)
	case slices.Contains(iterated, o.Answer.schema):
		fmt.Fprintf(&b, "for await (const %s of %s) {\n  console.log(%s);\n}\n", name, call, shown)
	default:
		fmt.Fprintf(&b, "const answer = await %s;\nfor (const %s of answer.%s) {\n  console.log(%s);\n}\n", call, name, t.items, shown)
	}
	return b.String()
}
