// Command worker-go is a worker in Go: it does csv.profile jobs, which tell what is in each column of a CSV file. The server
// and the key come from TALLYGATE_URL and TALLYGATE_KEY; the key needs the permission work. SIGTERM ends it once what it
// does is done or given back.
package main

import (
	"context"
	"flag"
	"log"
	"runtime"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

func main() {
	places := flag.Int("concurrency", runtime.NumCPU(), "jobs at a time")
	flag.Parse()
	client, err := tallygate.New()
	if err != nil {
		log.Fatal(err)
	}
	worker := tallygate.Worker{
		Client:      client,
		Concurrency: *places,
		Handlers:    map[string]tallygate.Handler{"csv.profile": tallygate.HandlerOf(profile)},
	}
	if err := worker.RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}
