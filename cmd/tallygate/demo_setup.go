package main

import (
	"encoding/json"
	"fmt"
	"net"

	"go.yaml.in/yaml/v3"

	"github.com/tallygate/tallygate/demo/archive"
	"github.com/tallygate/tallygate/demo/textstats"
	"github.com/tallygate/tallygate/demo/thumbnail"
)

// demoConfig is the file that the demo gives to serve: three job types, one for each executor.
func demoConfig(upstreamURL, secret string) ([]byte, error) {
	types := []map[string]any{
		{
			"name":         "image.thumbnail",
			"description":  "Makes thumbnails of a JPEG, PNG, GIF or WebP picture, in one or several sizes.",
			"input_schema": json.RawMessage(thumbnail.InputSchema),
			"price":        price("0.001", "megapixel", "0.0005", 50),
			"executor":     map[string]any{"kind": "builtin", "handler": thumbnailHandler},
		},
		{
			"name":         textstats.JobType,
			"description":  "Counts a text's words, sentences and lines and tells its language.",
			"input_schema": json.RawMessage(textstats.InputSchema),
			"price":        price("0.0005", "kilobyte", "0.0001", 1000),
			"executor":     map[string]any{"kind": "pull"},
		},
		{
			"name":         "archive.inspect",
			"description":  "Lists a zip, tar.gz or tar archive and finds what would be dangerous to unpack.",
			"input_schema": json.RawMessage(archive.InputSchema),
			"price":        price("0.002", "entry", "0.00001", 10_000),
			"executor":     map[string]any{"kind": "http", "url": upstreamURL, "timeout": "30s", "secret": secret},
		},
	}
	config := map[string]any{"max_body": 32 << 20, "job_types": types}
	// JSON is YAML: the schemas keep their order by a way through nodes.
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	blockStyle(&document)
	return yaml.Marshal(&document)
}

// blockStyle takes the braces and quotes of JSON out, which people would not write.
func blockStyle(n *yaml.Node) {
	if n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode {
		n.Style = 0
	}
	for _, part := range n.Content {
		blockStyle(part)
	}
}

func price(base, unit, each string, most int) map[string]any {
	return map[string]any{"base": base, "units": map[string]any{unit: map[string]any{"price": each, "max": most}}}
}

// freeAddress is the address, or the same host with a free port where that one is taken.
func freeAddress(wanted string) (string, error) {
	l, err := listenLocal(wanted)
	if err != nil {
		host, _, split := net.SplitHostPort(wanted)
		if split != nil {
			return "", split
		}
		if l, err = listenLocal(net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func listenLocal(address string) (net.Listener, error) { return net.Listen("tcp", address) }

// invite prints lines that work when they are pasted.
func (d *demo) invite() error {
	d.heading("Try it")
	lines := []struct{ what, line string }{
		{"the client's key", fmt.Sprintf("export TALLYGATE_KEY=%s", d.clientKey)},
		{"submit a job and wait for its end", fmt.Sprintf(`curl -s '%s/v1/jobs?wait=10s' -H "Authorization: Bearer $TALLYGATE_KEY" -H 'Content-Type: application/json' -d '{"type":"text.stats","input":{"text":"To be, or not to be"}}'`, d.url)},
		{"input in, result out", fmt.Sprintf(`curl -s %s/v1/run/text.stats -H "Authorization: Bearer $TALLYGATE_KEY" -H 'Content-Type: application/json' -d '{"text":"What is cut, is cut."}'`, d.url)},
		{"what a job would cost", fmt.Sprintf(`curl -s %s/v1/quotes -H "Authorization: Bearer $TALLYGATE_KEY" -H 'Content-Type: application/json' -d '{"type":"text.stats","input":{"text":"x"}}'`, d.url)},
		{"the balance", fmt.Sprintf(`curl -s %s/v1/account -H "Authorization: Bearer $TALLYGATE_KEY"`, d.url)},
		{"the ledger", fmt.Sprintf(`curl -s '%s/v1/account/entries?limit=5' -H "Authorization: Bearer $TALLYGATE_KEY"`, d.url)},
		{"an error, as the contract has it", fmt.Sprintf(`curl -s %s/v1/jobs/job_nothing -H "Authorization: Bearer $TALLYGATE_KEY"`, d.url)},
		{"the same from the command line", fmt.Sprintf(`%s --url %s job submit text.stats --input '{"text":"hello"}' --wait`, d.program, d.url)},
	}
	for _, l := range lines {
		fmt.Fprintf(d.stdout, "  %s\n  %s\n", d.paint(faint, "# "+l.what), l.line)
	}
	fmt.Fprintf(d.stdout, "\n  The operator's key is in %s. Ctrl-C ends everything.\n", d.file("operator.key"))
	return nil
}
