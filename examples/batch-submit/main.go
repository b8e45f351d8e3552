// Command batch-submit submits a job for each line of a file and shows how they go on. Run it again on the same file, after
// a crash or a day later, and nothing is submitted or paid twice. The server and the key come from TALLYGATE_URL and
// TALLYGATE_KEY.
//
//	batch-submit -type text.stats < inputs.jsonl > results.jsonl
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		log.Fatal("error: ", err)
	}
	if failed > 0 {
		log.Fatalf("error: %d jobs did not succeed; the results say why", failed)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out, screen *os.File) (failed int, err error) {
	flags := flag.NewFlagSet("batch-submit", flag.ContinueOnError)
	b := batch{}
	flags.StringVar(&b.jobType, "type", "", "the type of the jobs")
	flags.IntVar(&b.size, "batch", 100, "jobs of one request, at most 1000")
	flags.IntVar(&b.watchers, "watch", 8, "jobs that are waited for at once")
	flags.StringVar(&b.name, "name", "", "the batch's name: the same name is the same batch (default: a hash of the input)")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if b.jobType == "" || b.size < 1 || b.size > 1000 || b.watchers < 1 {
		return 0, errors.New("-type is required, -batch is 1 to 1000, -watch at least 1")
	}
	if b.inputs, err = readLines(in); err != nil {
		return 0, err
	}
	if b.client, err = tallygate.New(tallygate.WithUserAgent("batch-submit")); err != nil {
		return 0, err
	}
	b.bar = newBar(screen, len(b.inputs))
	results, err := b.run(ctx)
	b.bar.close()
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriter(out)
	for i := range results {
		if results[i].Error != nil {
			failed++
		}
		line, err := json.Marshal(results[i])
		if err != nil {
			return failed, err
		}
		fmt.Fprintf(w, "%s\n", line)
	}
	return failed, w.Flush()
}

// readLines reads one JSON value a line; empty lines are passed over.
func readLines(in io.Reader) (inputs []json.RawMessage, err error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		switch {
		case len(line) == 0:
		case !json.Valid(line):
			return nil, fmt.Errorf("line %d is not JSON", n)
		default:
			inputs = append(inputs, bytes.Clone(line))
		}
	}
	return inputs, lines.Err()
}
