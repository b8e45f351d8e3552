package docs

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// overview is the page before the groups.
func (r *reference) overview() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# API reference\n\n%s\n\n", strings.TrimSpace(r.document.text("info", "description")))
	fmt.Fprint(&b, "The same as a document of OpenAPI 3.1, for tools: [/openapi.json](/openapi.json), or `tallygate openapi`.\n")
	for _, g := range r.groups {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| route | does | permission |\n|---|---|---|\n", g.Title(), g.Description)
		for _, o := range g.Operations {
			permission := "–"
			if o.Permission != "" {
				permission = "`" + o.Permission + "`"
			}
			fmt.Fprintf(&b, "| `%s %s` | [%s](%s#%s) | %s |\n", o.Method, o.Path, o.Summary, g.Page(), o.Anchor, permission)
		}
	}
	return b.Bytes()
}

// wholeReference is the overview and every group.
func (s *Site) wholeReference() []byte {
	var b bytes.Buffer
	for _, p := range s.order {
		if p.Path == referencePath {
			b.Write(p.source)
		}
		if p.Group != nil {
			fmt.Fprintf(&b, "\n%s", p.source)
		}
	}
	return b.Bytes()
}

// markdown is the group's page for programs, and for the search.
func (g *group) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n", g.Title(), g.Description)
	for _, o := range g.Operations {
		o.writeMarkdown(&b)
	}
	return b.Bytes()
}

func (o *operation) writeMarkdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n`%s %s` (operation `%s`)\n", o.Summary, o.Method, o.Path, o.ID)
	if o.Description != "" {
		fmt.Fprintf(w, "\n%s\n", o.Description)
	}
	if o.Permission != "" {
		fmt.Fprintf(w, "\nPermission: `%s`", o.Permission)
		if o.Operators {
			fmt.Fprint(w, " (operators)")
		}
		fmt.Fprintf(w, ". Cost: %s of the rate limit.\n", o.Cost)
	} else {
		fmt.Fprint(w, "\nNeeds no key.\n")
	}
	if len(o.Parameters) > 0 {
		fmt.Fprint(w, "\n**Parameters.**\n\n")
		writeFields(w, o.Parameters, "")
	}
	if o.Body != nil {
		fmt.Fprintf(w, "\n**Body.** %s\n\n", o.Body.Description)
		writeFields(w, o.Body.Fields, "")
	}
	for _, s := range o.Samples {
		fmt.Fprintf(w, "\n```%s\n%s```\n", s.Language, s.Code)
	}
	fmt.Fprintf(w, "\n**Answer.** %s\n\n", o.Answer.Description)
	writeFields(w, o.Answer.Fields, "")
	if example := o.Answer.Example(); example != nil {
		fmt.Fprintf(w, "\n```%s\n%s\n```\n", example.language, strings.TrimSpace(example.text))
	}
	var codes []string
	for _, code := range o.Codes {
		codes = append(codes, fmt.Sprintf("`%s` (%d)", code.Name, code.Status))
	}
	fmt.Fprintf(w, "\n**Errors.** %s.\n", strings.Join(codes, ", "))
}

// writeFields writes a nested list.
func writeFields(w io.Writer, fields []*field, indent string) {
	for _, f := range fields {
		said := f.Type
		if f.In != "" {
			said += ", in the " + f.In
		}
		if f.Required {
			said += ", required"
		}
		for _, fact := range f.Facts {
			said += "; " + fact.Label + " `" + strings.Join(fact.Values, "`"+fact.Between()+"`") + "`"
		}
		fmt.Fprintf(w, "%s- `%s` (%s): %s\n", indent, f.Name, said, strings.Join(strings.Fields(f.Description), " "))
		writeFields(w, f.Fields, indent+"  ")
		for _, v := range f.Variants {
			fmt.Fprintf(w, "%s  - %s:\n", indent, v.Name)
			writeFields(w, v.Fields, indent+"    ")
		}
	}
}
