package textstats

import (
	"context"
	"encoding/json"
	"errors"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

// JobType is the type of the jobs that [Handle] does.
const JobType = "text.stats"

// Handle does a job by [Analyse]. It is a handler of the SDK's worker loop.
func Handle(ctx context.Context, attempt *sdk.Attempt) (any, error) {
	result, units, err := Analyse(ctx, attempt.Job.Input, func(fraction float64, line string) {
		attempt.Progress(fraction)
		if line != "" {
			attempt.Log(line)
		}
	})
	if wrong, ok := errors.AsType[*InputError](err); ok {
		return nil, sdk.Final(wrong)
	}
	if err != nil {
		return nil, err
	}
	for unit, n := range units {
		attempt.Use(unit, n)
	}
	return json.RawMessage(result), nil
}
