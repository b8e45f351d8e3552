package api

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The description is kept as YAML's tree, which remembers the order of members.

// plainTree copies a tree without comments, aliases, merged maps and styles.
func plainTree(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return plainTree(n.Alias)
	}
	out := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value}
	if n.Kind != yaml.MappingNode {
		for _, child := range n.Content {
			out.Content = append(out.Content, plainTree(child))
		}
		return out
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			set(out, n.Content[i].Value, plainTree(n.Content[i+1]))
			continue
		}
		merged := plainTree(n.Content[i+1])
		for k := 0; k < len(merged.Content); k += 2 {
			set(out, merged.Content[k].Value, merged.Content[k+1])
		}
	}
	return out
}

// get walks down the members of the names, nil where one is missing.
func get(n *yaml.Node, names ...string) *yaml.Node {
	for _, name := range names {
		if n = memberNode(n, name); n == nil {
			return nil
		}
	}
	return n
}

func memberNode(n *yaml.Node, name string) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// set gives the object a member, in the place of one of that name or at its end.
func set(n *yaml.Node, name string, value *yaml.Node) {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, textNode(name), value)
}

// take takes a member away and returns it.
func take(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			value := n.Content[i+1]
			n.Content = append(n.Content[:i], n.Content[i+2:]...)
			return value
		}
	}
	return nil
}

func valueNodes(n *yaml.Node) (all []*yaml.Node) {
	for i := 1; i < len(n.Content); i += 2 {
		all = append(all, n.Content[i])
	}
	return all
}

func textNode(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

func numberNode(n int64) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(n, 10)}
}

func listNode(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: items}
}

// objectNode makes an object of names and nodes.
func objectNode(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for i := 0; i < len(pairs); i += 2 {
		set(n, pairs[i].(string), pairs[i+1].(*yaml.Node))
	}
	return n
}

// reference is a $ref to a component.
func reference(kind, name string) *yaml.Node {
	return objectNode("$ref", textNode("#/components/"+kind+"/"+name))
}

// referred is the name of the component of the kind that the node refers to.
func referred(n *yaml.Node, kind string) (name string, ok bool) {
	ref := get(n, "$ref")
	if ref == nil {
		return "", false
	}
	return strings.CutPrefix(ref.Value, "#/components/"+kind+"/")
}

// appendTree appends a tree as JSON.
func appendTree(b []byte, n *yaml.Node) []byte {
	switch {
	case n.Kind == yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendText(b, n.Content[i].Value)
			b = append(b, ':')
			b = appendTree(b, n.Content[i+1])
		}
		return append(b, '}')
	case n.Kind == yaml.SequenceNode:
		return appendList(b, n.Content, appendTree)
	case n.Tag == "!!int", n.Tag == "!!float", n.Tag == "!!bool", n.Tag == "!!null":
		return append(b, n.Value...)
	}
	return appendText(b, n.Value)
}
