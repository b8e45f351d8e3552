package docs

import (
	"bytes"
	"fmt"
)

const summary = "Put your function behind it and it is a metered job API: client accounts, API keys, prepaid balances, " +
	"rate limits, durable asynchronous jobs, one error contract. One binary with SQLite inside, PostgreSQL for many nodes."

// llms lists the pages for programs that read (llmstxt.org).
func (s *Site) llms() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Tallygate\n\n> %s\n", summary)
	for _, sec := range s.sections {
		fmt.Fprintf(&b, "\n## %s\n\n", sec.Title)
		for _, p := range sec.Pages {
			fmt.Fprintf(&b, "- [%s](%s%s.md): %s\n", p.Title, s.opt.PublicURL, p.Path, p.Description)
		}
	}
	return b.Bytes()
}

// llmsFull is every page, one after the other.
func (s *Site) llmsFull() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Tallygate\n\n> %s\n", summary)
	for _, p := range s.order {
		fmt.Fprintf(&b, "\n---\nSource: %s%s.md\n\n%s", s.opt.PublicURL, p.Path, p.source)
	}
	return b.Bytes()
}
