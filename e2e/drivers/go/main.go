// Command go does for the tests of the SDKs what they ask for, with the Go SDK: see sdk_faults_test.go.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

const callers = 16

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var err error
	switch os.Args[1] {
	case "submit":
		err = submit(ctx, number(os.Args[2]))
	case "work":
		err = work(ctx)
	case "herd":
		err = herd(ctx, number(os.Args[2]))
	default:
		log.Fatalf("no such thing to do: %s", os.Args[1])
	}
	if err != nil {
		log.Fatal(err)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		log.Fatal(err)
	}
	return n
}

// patient is a client that goes on as long as a storm may last.
func patient() (*tallygate.Client, error) {
	return tallygate.New(tallygate.WithMaxAttempts(25), tallygate.WithDeadline(5*time.Minute), tallygate.WithRetryBudget(1_000_000))
}

func submit(ctx context.Context, count int) error {
	client, err := patient()
	if err != nil {
		return err
	}
	numbers := make(chan int)
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for range callers {
		all.Go(func() {
			for n := range numbers {
				job, err := client.Jobs.Submit(ctx, tallygate.Submission{Type: "text.stats", Input: map[string]any{"number": n}})
				mu.Lock()
				if err == nil {
					fmt.Println(job.ID)
				} else {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for n := range count {
		numbers <- n
	}
	close(numbers)
	all.Wait()
	return failed
}

func work(ctx context.Context) error {
	client, err := patient()
	if err != nil {
		return err
	}
	count := func(_ context.Context, attempt *tallygate.Attempt) (any, error) {
		attempt.Use("page", 1)
		return map[string]int{"words": 2}, nil
	}
	worker := tallygate.Worker{Client: client, Handlers: map[string]tallygate.Handler{"text.stats": count}, Concurrency: 10}
	return worker.Run(ctx)
}

func herd(ctx context.Context, count int) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for n := range count {
		all.Go(func() {
			client, err := tallygate.New(tallygate.WithKey("tg_live_"+strconv.Itoa(n)), tallygate.WithHooks(tallygate.Hooks{
				OnRetry: func(_ context.Context, _ tallygate.Request, _ *tallygate.Error, wait time.Duration) {
					mu.Lock()
					defer mu.Unlock()
					fmt.Println(wait.Seconds())
				},
			}))
			if err == nil {
				_, err = client.Account.Get(ctx)
			}
			if err != nil {
				mu.Lock()
				failed = err
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return failed
}
