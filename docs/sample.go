package docs

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Sample is a program that calls one route, as the reference shows it. TALLYGATE_URL and TALLYGATE_KEY say which server
// and with which key.
type Sample struct {
	Operation  string // the operationId
	Permission string // that the key needs; empty: none
	Language   string // as in the info string of a block of code
	Code       string
}

// Samples are those of every operation of an OpenAPI document.
func Samples(openAPI []byte) ([]Sample, error) {
	r, err := readReference(openAPI)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var all []Sample
	for _, g := range r.groups {
		for _, o := range g.Operations {
			all = append(all, o.Samples...)
		}
	}
	return all, nil
}

// sampleLanguages are those that samples are written in.
var sampleLanguages = []struct {
	name  string
	write func(*operation) string
}{
	{"sh", curlSample},
}

// shown names the parameters of a query that an operation's samples give, of those that it may.
var shown = map[string][]string{
	"listJobs":        {"status", "type"},
	"getJob":          {"wait"},
	"getAccountUsage": {"from", "to"},
	"getClientUsage":  {"from", "to"},
}

// target is the path and query of the operation's samples.
func (o *operation) target() string {
	target, query := o.Path, []string{}
	for _, p := range o.parameters {
		switch {
		case p.in == "path":
			target = strings.ReplaceAll(target, "{"+p.name+"}", url.PathEscape(p.example.text()))
		case p.in == "query" && (p.required || slices.Contains(shown[o.ID], p.name)):
			query = append(query, p.name+"="+url.QueryEscape(p.example.text()))
		}
	}
	if len(query) > 0 {
		target += "?" + strings.Join(query, "&")
	}
	return target
}

// input is the body of the operation's samples; nil: none.
func (o *operation) input() *node {
	if o.Body == nil || len(o.Body.Examples) == 0 || len(o.Body.Examples[0].value.items()) == 0 {
		return nil
	}
	return o.Body.Examples[0].value
}
