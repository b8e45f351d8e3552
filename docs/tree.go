package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// node is a JSON value whose members keep their order.
type node struct {
	kind   nodeKind
	names  []string // of members
	values []*node  // of members, or items
	scalar any      // string, json.Number, bool or nil
}

type nodeKind uint8

const (
	scalarNode nodeKind = iota
	objectNode
	listNode
)

// parseJSON reads one JSON value.
func parseJSON(text []byte) (*node, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	n, err := readNode(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return n, nil
}

func readNode(decoder *json.Decoder) (*node, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	opening, ok := token.(json.Delim)
	if !ok {
		return &node{scalar: token}, nil
	}
	n := &node{kind: listNode}
	if opening == '{' {
		n.kind = objectNode
	}
	for decoder.More() {
		if n.kind == objectNode {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			n.names = append(n.names, name.(string))
		}
		value, err := readNode(decoder)
		if err != nil {
			return nil, err
		}
		n.values = append(n.values, value)
	}
	_, err = decoder.Token() // the end
	return n, err
}

// get walks down the members of the names; nil where one is missing.
func (n *node) get(names ...string) *node {
	for _, name := range names {
		var found *node
		for i := 0; n != nil && i < len(n.names); i++ {
			if n.names[i] == name {
				found = n.values[i]
			}
		}
		if n = found; n == nil {
			return nil
		}
	}
	return n
}

// text is the member of the names as a string; empty where there is none.
func (n *node) text(names ...string) string {
	n = n.get(names...)
	if n == nil || n.kind != scalarNode || n.scalar == nil {
		return ""
	}
	return fmt.Sprint(n.scalar)
}

// items are the values of a list, or of an object's members.
func (n *node) items() []*node {
	if n == nil {
		return nil
	}
	return n.values
}

// texts are the items of a list of strings, or the one string that stands in place of such a list.
func (n *node) texts() (all []string) {
	if n == nil {
		return nil
	}
	if n.kind == scalarNode {
		return []string{n.text()}
	}
	for _, item := range n.values {
		all = append(all, item.text())
	}
	return all
}

// json is the value as text, on one line where it is short, else indented.
func (n *node) json() string { return n.format("", "", jsonWidth) }

const jsonWidth = 64

// format breaks what does not fit into the width after the indent and what stands before it on its line.
func (n *node) format(indent, before string, width int) string {
	line := n.line()
	if len(n.values) == 0 || len(indent)+len(before)+len(line) <= width {
		return line
	}
	within := indent + "  "
	var parts []string
	for i, value := range n.values {
		name := ""
		if n.kind == objectNode {
			name = quoted(n.names[i]) + ": "
		}
		parts = append(parts, within+name+value.format(within, name, width))
	}
	text := "\n" + strings.Join(parts, ",\n") + "\n" + indent
	if n.kind == objectNode {
		return "{" + text + "}"
	}
	return "[" + text + "]"
}

func (n *node) line() string {
	switch n.kind {
	case objectNode:
		var parts []string
		for i, value := range n.values {
			parts = append(parts, quoted(n.names[i])+": "+value.line())
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case listNode:
		var parts []string
		for _, value := range n.values {
			parts = append(parts, value.line())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if s, ok := n.scalar.(string); ok {
		return quoted(s)
	}
	if n.scalar == nil {
		return "null"
	}
	return fmt.Sprint(n.scalar)
}

// quoted is the string as JSON, without the escapes that only HTML needs.
func quoted(s string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // a string is always encoded
	return strings.TrimSuffix(b.String(), "\n")
}
