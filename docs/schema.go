package docs

import (
	"html/template"
	"slices"
	"strings"
)

// field is a parameter, or a member of a body, as it is explained.
type field struct {
	Name        string
	In          string // of a parameter: path, query or header
	Type        string
	Required    bool
	Description string // Markdown
	Facts       []fact
	Fields      []*field  // of an object, or of each item
	Variants    []variant // of which it is one
}

// fact is something that a value has to be.
type fact struct {
	Label  string
	Values []string
}

// Between is what stands between the values.
func (f fact) Between() string {
	if f.Label == "from" {
		return " to "
	}
	return ", "
}

// variant is one of the shapes that a value may have.
type variant struct {
	Name   string
	Fields []*field
}

// HTML renders the description.
func (f *field) HTML() template.HTML { return phrase(f.Description) }

// refName is the name of the schema that is referred to; empty: none is.
func refName(schema *node) string {
	if schema == nil {
		return ""
	}
	_, name, _ := strings.Cut(schema.text("$ref"), "#/components/schemas/")
	return name
}

// field explains a value of the schema. Within are the schemas around it, which are not explained again.
func (r *reference) field(name string, schema *node, within []string) *field {
	f := &field{Name: name, Description: schema.text("description")}
	null := false
	if options := schema.get("anyOf").items(); len(options) == 2 && options[1].text("type") == "null" {
		if f.Facts = r.facts(schema); f.Description == "" {
			f.Description = r.resolve(options[0]).text("description")
		}
		schema, null = options[0], true
	}
	ref := refName(schema)
	if ref != "" {
		if slices.Contains(within, ref) {
			f.Type = words(ref)
			return f
		}
		within = append(slices.Clone(within), ref)
		if f.Description == "" {
			f.Description = schema.text("description")
		}
		schema = r.resolve(schema)
	}
	if f.Description == "" {
		f.Description = schema.text("description")
	}
	types := slices.DeleteFunc(schema.get("type").texts(), func(t string) bool {
		null = null || t == "null"
		return t == "null"
	})
	f.Type = strings.Join(types, " or ")
	f.Facts = append(f.Facts, r.facts(schema)...)
	switch {
	case schema.get("oneOf") != nil:
		f.Type = "object"
		for _, option := range schema.get("oneOf").items() {
			f.Variants = append(f.Variants, variant{words(refName(option)), r.members(r.resolve(option), append(slices.Clone(within), refName(option)))})
		}
	case schema.get("properties") != nil:
		f.Fields = r.members(schema, within)
	case schema.get("items") != nil:
		item := r.field("", schema.get("items"), within)
		f.Type, f.Fields, f.Variants = "list of "+plural(item.Type), item.Fields, item.Variants
		f.Facts = append(item.Facts, f.Facts...)
	case schema.get("additionalProperties") != nil && schema.get("additionalProperties").kind == objectNode:
		item := r.field("", schema.get("additionalProperties"), within)
		f.Type, f.Fields = "object of "+plural(item.Type), item.Fields
	case f.Type == "string" && ref != "" && schema.get("enum") == nil:
		f.Type = words(ref)
	case f.Type == "" && null:
		f.Type, null = "null", false
	case f.Type == "":
		f.Type = "any value"
	}
	if null {
		f.Type += " or null"
	}
	return f
}

// members explains the members of an object.
func (r *reference) members(schema *node, within []string) (fields []*field) {
	properties, required := schema.get("properties"), schema.get("required").texts()
	for i, property := range properties.items() {
		f := r.field(properties.names[i], property, within)
		f.Required = slices.Contains(required, f.Name)
		fields = append(fields, f)
	}
	return fields
}

// facts are what the schema demands of a value, as far as people want to know it.
func (r *reference) facts(schema *node) (facts []fact) {
	if enum := schema.get("enum"); enum != nil {
		facts = append(facts, fact{"one of", enum.texts()})
	}
	if value := schema.get("const"); value != nil {
		facts = append(facts, fact{"always", []string{value.text()}})
	}
	low, high := schema.text("minimum"), schema.text("maximum")
	switch {
	case len(high) > 9: // the type's own bound
		if low != "" && low != "0" {
			facts = append(facts, fact{"at least", []string{low}})
		}
	case low != "" && high != "":
		facts = append(facts, fact{"from", []string{low, high}})
	}
	if most := schema.text("maxItems"); most != "" && len(most) <= 6 {
		facts = append(facts, fact{"at most", []string{most}})
	}
	if value := schema.get("default"); value != nil && value.line() != `""` {
		facts = append(facts, fact{"default", []string{strings.Trim(value.line(), `"`)}})
	}
	return facts
}

// words is the name of a schema as people say it.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' && i > 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	said := strings.ToLower(b.String())
	for _, pair := range [][2]string{{" id", " ID"}, {"api ", "API "}, {"http ", "HTTP "}} {
		said = strings.ReplaceAll(said, pair[0], pair[1])
	}
	return said
}

// plural of a type's name.
func plural(name string) string {
	if first, ok := strings.CutSuffix(name, " or null"); ok {
		return plural(first) + " or null"
	}
	switch {
	case name == "any value":
		return "any values"
	case strings.HasPrefix(name, "list of "), strings.HasPrefix(name, "object of "):
		return name
	case strings.HasSuffix(name, "y") && !strings.HasSuffix(name, "key"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s"):
		return name
	}
	return name + "s"
}
