package textstats

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	sdk "github.com/tallygate/tallygate/sdk/go"
)

func attempt(input string) *sdk.Attempt {
	return &sdk.Attempt{Job: &sdk.Job{Input: json.RawMessage(input)}}
}

func TestHandleGivesTheResultAndItsUnits(t *testing.T) {
	todo := attempt(`{"text":"one two two"}`)
	answer, err := Handle(t.Context(), todo)
	if err != nil {
		t.Fatal(err)
	}
	var result Result
	if err := json.Unmarshal(answer.(json.RawMessage), &result); err != nil || result.Words != 3 {
		t.Errorf("result %s, %v", answer, err)
	}
	if units := todo.Used(); len(units) != 1 || units["kilobyte"] != 1 {
		t.Errorf("units %v", units)
	}
}

func TestHandleToldOfAWrongInputSaysWhy(t *testing.T) {
	_, err := Handle(t.Context(), attempt(`{"txt":"wrong"}`))
	if wrong, ok := errors.AsType[*InputError](err); !ok || wrong.Reason != `the input is refused: unknown field "txt"` {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Handle(ctx, attempt(`{"text":"a"}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
}
