package docs

import (
	"fmt"
	"go/format"
	"slices"
	"strings"
	"time"
)

// goTypes are the SDK's names of the schemas that requests are made of.
var goTypes = map[string]string{
	"JobSubmission": "Submission", "JobTypeDefinition": "JobTypeDefinition", "PriceDefinition": "Price", "UnitPrice": "UnitPrice",
	"ExecutorDefinition": "ExecutorDefinition", "NewApiKey": "NewAPIKey", "ApiKeyRotation": "Rotation",
	"NewClient": "NewClient", "ClientUpdate": "ClientUpdate", "ClientLimitsRequest": "LimitsChange", "Credit": "Credit",
	"LeaseRequest": "LeaseRequest", "ReportBatch": "ReportBatch", "Report": "Report", "HeartbeatRequest": "Heartbeat",
	"Success": "Success", "Failure": "Failure", "AttemptError": "JobError", "Release": "Giveback",
}

// goPointers are the members that the SDK takes as pointers, by the name of their owner's type.
var goPointers = map[string][]string{
	"JobTypeDefinition": {"executor"}, "ClientUpdate": {"limits"}, "NewClient": {"limits"}, "ReportBatch": {"lease"},
	"LimitsChange": {"requests_per_second", "burst", "running_jobs", "queued_jobs"}, "Rotation": {"overlap"},
	"Heartbeat": {"progress"}, "Failure": {"retry"}, "Report": {"error", "retry"},
}

// goSample calls the operation with the SDK for Go: the inside of a function with ctx that returns an error.
func goSample(o *operation) string {
	const (
		ifErr = "if err != nil {\nreturn err\n}\n"
		begin = "client, err := tallygate.New() // TALLYGATE_URL, TALLYGATE_KEY\n" + ifErr
	)
	if methods[o.ID] == "" {
		return goFormat(begin + "var document map[string]any\nerr = client.Do(ctx, \"" + o.Method + "\", \"" + o.target() + "\", nil, nil, &document)\n" +
			ifErr + "fmt.Println(document[\"openapi\"])\n")
	}
	args := append([]string{"ctx"}, quotedAll(o.ids())...)
	input, t := o.input(), o.telling()
	switch {
	case input == nil:
	case o.ID == "submitJobBatch":
		args = append(args, goList(o, input.get("jobs")))
	case o.ID == "runJob":
		args = append(args, goAny(input))
	default:
		args = append(args, (&goWriter{o.reference}).value(input, o.Body.node, "", ""))
	}
	all := slices.Contains(iterated, o.Answer.schema) && o.ID != "streamJobEvents"
	args = append(args, goOptions(o, all)...)
	call := "client." + goMethod(o, all) + "(" + strings.Join(args, ", ") + ")"
	name := camel(t.name)
	shown := name
	if len(t.parts) > 0 {
		var parts []string
		for _, part := range t.parts {
			parts = append(parts, name+"."+goName(part))
		}
		shown = strings.Join(parts, ", ")
	}
	code := begin
	switch {
	case slices.Contains(iterated, o.Answer.schema):
		code += fmt.Sprintf("for %s, err := range %s {\n%sfmt.Println(%s)\n}\n", name, call, ifErr, shown)
	case t.items != "":
		items := map[string]string{"Leases": "answer.Leases", "ReportResults": "answer.Results", "ErrorRates": "answer.Data"}[o.Answer.schema]
		if items == "" { // the SDK gives the items themselves
			items = "answer"
		}
		code += fmt.Sprintf("answer, err := %s\n%sfor _, %s := range %s {\nfmt.Println(%s)\n}\n", call, ifErr, name, items, shown)
	case o.Answer.schema == "Result":
		code += fmt.Sprintf("%s, err := %s\n%sfmt.Printf(\"%%s\\n\", %s)\n", name, call, ifErr, shown)
	default:
		code += fmt.Sprintf("%s, err := %s\n%sfmt.Println(%s)\n", name, call, ifErr, shown)
	}
	return goFormat(code)
}

func goFormat(code string) string {
	formatted, err := format.Source([]byte(code))
	if err != nil {
		return code // which a test compiles
	}
	return string(formatted)
}

// goMethod is the SDK's method; of a list the one that walks over all of it.
func goMethod(o *operation, all bool) string {
	words := strings.Split(methods[o.ID], ".")
	for i, word := range words {
		words[i] = goName(word)
	}
	if last := &words[len(words)-1]; all {
		*last = map[string]string{"List": "All", "Entries": "AllEntries"}[*last]
	}
	return strings.Join(words, ".")
}

// goOptions are the arguments after the body: what narrows a list, and options of the call.
func goOptions(o *operation, list bool) (args []string) {
	var members, options []string
	for _, p := range o.options() {
		switch {
		case p.name == idempotencyKey:
			options = append(options, "tallygate.WithIdempotencyKey("+quoted(p.example.text())+")")
		case p.name == "wait":
			options = append(options, "tallygate.WithWait("+goDuration(p.example.text())+")")
		case p.name == "from", p.name == "to":
			members = append(members, goName(p.name)+": "+goTime(p.example.text(), time.DateOnly))
		default:
			members = append(members, goName(p.name)+": "+quoted(p.example.text()))
		}
	}
	switch {
	case o.ID == "listJobs":
		args = append(args, goLiteral("tallygate.JobFilter{", members))
	case list:
		args = append(args, "tallygate.ListOptions{}")
	case len(members) > 0:
		args = append(args, goLiteral("tallygate.UsageRange{", members))
	}
	return append(args, options...)
}

// goName is a member's name in Go: initialisms are in capitals.
func goName(name string) string {
	var parts []string
	for member := range strings.SplitSeq(name, ".") {
		var b strings.Builder
		for word := range strings.SplitSeq(member, "_") {
			switch word {
			case "id", "ok", "api", "url":
				b.WriteString(strings.ToUpper(word))
			case "cidrs":
				b.WriteString("CIDRs")
			default:
				b.WriteString(strings.ToUpper(word[:1]) + word[1:])
			}
		}
		parts = append(parts, b.String())
	}
	return strings.Join(parts, ".")
}

// goLiteral is a composite literal; the formatter indents it.
func goLiteral(open string, parts []string) string { return layout(open, parts, "}", "") }

// goAny writes a value of the type any.
func goAny(n *node) string {
	var parts []string
	for i, v := range n.values {
		part := goAny(v)
		if n.kind == objectNode {
			part = quoted(n.names[i]) + ": " + part
		}
		parts = append(parts, part)
	}
	switch {
	case n.kind == objectNode:
		return goLiteral("map[string]any{", parts)
	case n.kind == listNode && len(n.values) > 0 && isText(n.values[0]):
		return goLiteral("[]string{", parts)
	case n.kind == listNode:
		return goLiteral("[]any{", parts)
	case n.scalar == nil:
		return "nil"
	}
	return n.line()
}

func isText(n *node) bool { _, ok := n.scalar.(string); return ok }

func goList(o *operation, jobs *node) string {
	return (&goWriter{o.reference}).value(jobs, o.reference.resolve(o.Body.node).get("properties", "jobs"), "", "")
}

func goDuration(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return quoted(text)
	}
	for _, unit := range []struct {
		d    time.Duration
		name string
	}{{time.Hour, "time.Hour"}, {time.Minute, "time.Minute"}, {time.Second, "time.Second"}} {
		switch {
		case d == unit.d:
			return unit.name
		case d%unit.d == 0:
			return fmt.Sprintf("%d*%s", d/unit.d, unit.name)
		}
	}
	return fmt.Sprintf("%d*time.Millisecond", d.Milliseconds())
}

func goTime(text, layout string) string {
	t, err := time.Parse(layout, text)
	if err != nil {
		return quoted(text)
	}
	return fmt.Sprintf("time.Date(%d, %d, %d, %d, %d, %d, 0, time.UTC)", t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second())
}

// goWriter writes values in the SDK's types, which it knows by the schemas.
type goWriter struct{ reference *reference }

// value writes the value of the schema; owner and member say where it stands.
func (g *goWriter) value(n, schema *node, owner, member string) string {
	if options := schema.get("anyOf").items(); len(options) == 2 {
		schema = options[0]
	}
	name := refName(schema)
	schema = g.reference.resolve(schema)
	pointer := slices.Contains(goPointers[owner], member)
	if mapping := schema.get("discriminator", "mapping"); mapping != nil {
		kind := n.text(schema.text("discriminator", "propertyName"))
		variant := &node{kind: objectNode, names: []string{"$ref"}, values: []*node{mapping.get(kind)}}
		schema = g.reference.resolve(variant)
	}
	text := ""
	switch {
	case goTypes[name] != "":
		var parts []string
		for i, v := range n.values {
			parts = append(parts, goName(n.names[i])+": "+g.value(v, schema.get("properties", n.names[i]), goTypes[name], n.names[i]))
		}
		text = goLiteral("tallygate."+goTypes[name]+"{", parts)
		if pointer {
			return "&" + text
		}
		return text
	case name == "Duration":
		text = goDuration(n.text())
		if pointer || strings.Contains(text, "*") || strings.HasPrefix(text, "time.") {
			text = "tallygate.Duration(" + text + ")"
		}
	case name == "Time":
		text = goTime(n.text(), time.RFC3339)
	case name == "Units":
		text = strings.Replace(goAny(n), "map[string]any", "map[string]int64", 1)
	case n.kind == objectNode && schema.get("additionalProperties") != nil && schema.get("additionalProperties").kind == objectNode:
		item := schema.get("additionalProperties")
		of := "tallygate." + goTypes[refName(item)]
		var parts []string
		for i, v := range n.values {
			parts = append(parts, quoted(n.names[i])+": "+strings.TrimPrefix(g.value(v, item, "", ""), of))
		}
		return goLiteral("map[string]"+of+"{", parts)
	case n.kind == listNode && goTypes[refName(schema.get("items"))] != "":
		of := "tallygate." + goTypes[refName(schema.get("items"))]
		var parts []string
		for _, v := range n.values {
			parts = append(parts, strings.TrimPrefix(g.value(v, schema.get("items"), "", ""), of))
		}
		return goLiteral("[]"+of+"{", parts)
	default:
		text = goAny(n)
		if pointer && slices.Contains(schema.get("type").texts(), "integer") {
			text = "int64(" + text + ")"
		}
		if pointer && owner == "LimitsChange" && member == "requests_per_second" {
			text = "float64(" + text + ")"
		}
	}
	if pointer {
		return "new(" + text + ")"
	}
	return text
}
