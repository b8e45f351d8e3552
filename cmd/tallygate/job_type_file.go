package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/api"
	"github.com/tallygate/tallygate/queue"
)

// definition is a job type as a file defines it: the body of PUT /v1/job-types/{name}, what the API reads in it, and
// where it stood.
type definition struct {
	Name string
	Body json.RawMessage // without the name
	Type tallygate.JobType
	Line int
}

// fault tells what is wrong with the definition.
func (d definition) fault(err error) error {
	return fmt.Errorf("line %d: job type %q: %s", d.Line, d.Name, tallygate.AsError(err).Detail)
}

// jobTypes are the types that are defined, once the queue has checked their values, schemas included.
func jobTypes(definitions []definition, handlers []string) ([]tallygate.JobType, error) {
	var types []tallygate.JobType
	var faults []error
	for _, d := range definitions {
		if err := queue.CheckType(&d.Type, handlers).Err(); err != nil {
			faults = append(faults, d.fault(err))
		}
		types = append(types, d.Type)
	}
	if len(faults) > 0 {
		return nil, joined(faults)
	}
	return types, nil
}

// parseDefinitions reads job types from YAML or JSON: one with its name, a list of them, several documents, or a
// mapping with job_types. Prices may stand unquoted: they keep their digits and become decimal strings.
func parseDefinitions(text []byte) ([]definition, error) {
	documents := yaml.NewDecoder(bytes.NewReader(text))
	var all []definition
	for {
		var document yaml.Node
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, yamlFault(err)
		}
		if len(document.Content) == 0 || isNull(document.Content[0]) {
			continue
		}
		some, err := definitionsOf(document.Content[0])
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	if len(all) == 0 {
		return nil, errors.New("no job type in it")
	}
	for i, d := range all {
		if j := slices.IndexFunc(all[:i], func(e definition) bool { return e.Name == d.Name }); j >= 0 {
			return nil, fmt.Errorf("line %d: job type %q is defined twice, first on line %d", d.Line, d.Name, all[j].Line)
		}
	}
	return all, nil
}

// definitionsOf reads a node: one job type, a list of them, or a mapping with job_types alone.
func definitionsOf(n *yaml.Node) ([]definition, error) {
	n = resolve(n)
	switch n.Kind {
	case yaml.SequenceNode:
		all := make([]definition, 0, len(n.Content))
		var faults []error
		for _, item := range n.Content {
			d, err := definitionOf(resolve(item))
			if err != nil {
				faults = append(faults, err)
			}
			all = append(all, d)
		}
		if len(faults) > 0 {
			return nil, joined(faults)
		}
		return all, nil
	case yaml.MappingNode:
		if value := member(n, "job_types"); value != nil && len(n.Content) == 2 {
			return definitionsOf(value)
		}
		d, err := definitionOf(n)
		return []definition{d}, err
	}
	return nil, fmt.Errorf("line %d: expected a job type or a list of them", n.Line)
}

func definitionOf(n *yaml.Node) (definition, error) {
	if n.Kind != yaml.MappingNode {
		return definition{}, fmt.Errorf("line %d: expected a job type: a mapping with a name", n.Line)
	}
	name := member(n, "name")
	if name == nil || name.Kind != yaml.ScalarNode || name.Value == "" {
		return definition{}, fmt.Errorf("line %d: a job type needs a name", n.Line)
	}
	body, err := toJSON(n, "", func(path, key string) bool { return path == "" && key == "name" })
	if err != nil {
		return definition{}, fmt.Errorf("job type %q: %w", name.Value, err)
	}
	d := definition{Name: name.Value, Body: body, Line: n.Line}
	if d.Type, err = api.ParseJobType(d.Name, d.Body); err != nil {
		return definition{}, d.fault(err)
	}
	return d, nil
}

// member is the value of a mapping's key, nil where it has none.
func member(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// mostJSON bounds what a file may come to, so that aliases of aliases end.
const mostJSON = 1 << 20

// toJSON writes a node as JSON without the members that skip names; path tells where the node stands, as in
// ".price.base". Numbers keep their digits, and those in a price become strings: money is never a float.
func toJSON(n *yaml.Node, path string, skip func(path, key string) bool) (json.RawMessage, error) {
	var out bytes.Buffer
	err := writeJSON(&out, n, path, skip, 0)
	return out.Bytes(), err
}

func writeJSON(out *bytes.Buffer, n *yaml.Node, path string, skip func(path, key string) bool, depth int) error {
	n = resolve(n)
	if out.Len() > mostJSON || depth > 100 {
		return fmt.Errorf("line %d: too large or too deep", n.Line)
	}
	switch n.Kind {
	case yaml.MappingNode:
		out.WriteByte('{')
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := resolve(n.Content[i])
			switch {
			case key.Kind != yaml.ScalarNode:
				return fmt.Errorf("line %d: a key must be a word", key.Line)
			case key.ShortTag() == "!!merge":
				return fmt.Errorf("line %d: merging with << is not supported: write the fields out", key.Line)
			case seen[key.Value]:
				return fmt.Errorf("line %d: %q stands twice", key.Line, key.Value)
			}
			seen[key.Value] = true
			if skip != nil && skip(path, key.Value) {
				continue
			}
			if out.Bytes()[out.Len()-1] != '{' {
				out.WriteByte(',')
			}
			if err := writeString(out, key.Value); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := writeJSON(out, n.Content[i+1], path+"."+key.Value, skip, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	case yaml.SequenceNode:
		out.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := writeJSON(out, item, path+"[]", skip, depth+1); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case yaml.ScalarNode:
		return writeScalar(out, n, path)
	default:
		return fmt.Errorf("line %d: unexpected YAML", n.Line)
	}
	return nil
}

func writeScalar(out *bytes.Buffer, n *yaml.Node, path string) error {
	switch n.ShortTag() {
	case "!!null":
		out.WriteString("null")
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return yamlFault(err)
		}
		fmt.Fprint(out, b)
	case "!!int", "!!float":
		if isPrice(path) {
			return writeString(out, n.Value)
		}
		if json.Valid([]byte(n.Value)) {
			out.WriteString(n.Value)
			return nil
		}
		var v any // another notation, such as 0x10 or 1_000
		if err := n.Decode(&v); err != nil {
			return yamlFault(err)
		}
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("line %d: %s has no form in JSON", n.Line, n.Value)
		}
		out.Write(b)
	default:
		return writeString(out, n.Value)
	}
	return nil
}

// isPrice reports whether money stands at the path of a job type.
func isPrice(path string) bool {
	rest, ok := strings.CutPrefix(path, ".price.")
	return ok && (rest == "base" || (strings.HasPrefix(rest, "units.") && strings.HasSuffix(rest, ".price")))
}

func writeString(out *bytes.Buffer, s string) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	out.Truncate(out.Len() - 1) // the line feed
	return nil
}

// yamlFault takes the library's name out of its message.
func yamlFault(err error) error {
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}
