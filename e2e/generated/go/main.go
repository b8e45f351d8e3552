// Command go runs a job with the client that oapi-codegen makes of the API's description: it submits, waits, and reads
// the result, while it works on the job itself. TALLYGATE_URL, TALLYGATE_KEY (a client's) and TALLYGATE_WORKER_KEY say
// where and as whom.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/tallygate/tallygate/e2e/generated/go/tallygate"
)

func main() {
	log.SetFlags(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx); err != nil {
		log.Fatal(err)
	}
}

func connect(key string) (*tallygate.ClientWithResponses, error) {
	return tallygate.NewClientWithResponses(os.Getenv("TALLYGATE_URL"), tallygate.WithRequestEditorFn(
		func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+os.Getenv(key))
			return nil
		}))
}

func run(ctx context.Context) error {
	client, err := connect("TALLYGATE_KEY")
	if err != nil {
		return err
	}
	var input tallygate.Input = map[string]any{"text": "Call me Ishmael."}
	submitted, err := client.SubmitJobWithResponse(ctx, nil, tallygate.JobSubmission{Type: "text.stats", Input: input})
	if err != nil {
		return err
	}
	if submitted.JSON200 == nil {
		return fmt.Errorf("submit: %s %s", submitted.Status(), submitted.Body)
	}
	id := submitted.JSON200.Id
	worked := make(chan error, 1)
	go func() { worked <- work(ctx) }()

	wait := tallygate.Wait("30s")
	job, err := client.GetJobWithResponse(ctx, id, &tallygate.GetJobParams{Wait: &wait})
	if err != nil {
		return err
	}
	if job.JSON200 == nil || job.JSON200.Status != tallygate.JobStatusSucceeded {
		return fmt.Errorf("wait: %s %s", job.Status(), job.Body)
	}
	if err := <-worked; err != nil {
		return err
	}
	result, err := client.GetJobResultWithResponse(ctx, id)
	if err != nil {
		return err
	}
	var counted struct{ Words int }
	if err := json.Unmarshal(result.Body, &counted); err != nil || counted.Words != 3 {
		return fmt.Errorf("result: %s %s", result.Status(), result.Body)
	}
	fmt.Printf("%s: 3 words, charged %s\n", id, job.JSON200.Receipt.Charged)

	// An error is read as one.
	none, err := client.GetJobWithResponse(ctx, "job_00000000000000000000000000", nil)
	if err != nil {
		return err
	}
	if none.JSON404 == nil || none.JSON404.Error.Code != tallygate.ErrorCodeJOBNOTFOUND {
		return fmt.Errorf("no such job: %s %s", none.Status(), none.Body)
	}
	return nil
}

// work does one job.
func work(ctx context.Context) error {
	worker, err := connect("TALLYGATE_WORKER_KEY")
	if err != nil {
		return err
	}
	wait := tallygate.Duration("30s")
	leased, err := worker.LeaseJobsWithResponse(ctx, tallygate.LeaseRequest{Types: []tallygate.JobTypeName{"text.stats"}, Wait: &wait})
	if err != nil {
		return err
	}
	if leased.JSON200 == nil || len(leased.JSON200.Leases) != 1 {
		return fmt.Errorf("lease: %s %s", leased.Status(), leased.Body)
	}
	lease := leased.JSON200.Leases[0]
	var counted tallygate.Result = map[string]any{"words": 3}
	reported, err := worker.SucceedJobWithResponse(ctx, lease.Job.Id, tallygate.Success{Token: lease.Token, Result: counted})
	if err != nil {
		return err
	}
	if reported.JSON200 == nil {
		return fmt.Errorf("succeed: %s %s", reported.Status(), reported.Body)
	}
	return nil
}
