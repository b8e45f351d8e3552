package tallygate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tallygate/tallygate"
)

func TestCodesAreTheContracts(t *testing.T) {
	text, err := os.ReadFile("testdata/errors.json")
	if err != nil {
		t.Fatal(err)
	}
	var contract []struct {
		Code, Message, Solution string
		Status                  int
	}
	if err := json.Unmarshal(text, &contract); err != nil {
		t.Fatal(err)
	}
	codes := tallygate.Codes()
	if len(codes) != 22 || len(contract) != len(codes) {
		t.Fatalf("%d codes, the contract has %d", len(codes), len(contract))
	}
	for i, want := range contract {
		code := codes[i]
		got := code.Facts()
		if got.Name != want.Code || got.Status != want.Status || got.Message != want.Message || got.Remedy != want.Solution {
			t.Errorf("code %d is %+v, the contract says %+v", i, got, want)
		}
		if code.Status() != want.Status || code.String() != want.Code {
			t.Errorf("code %d speaks as %s, %d", i, code, code.Status())
		}
		if found, ok := tallygate.ParseCode(want.Code); !ok || found != code {
			t.Errorf("ParseCode(%q) = %v, %v", want.Code, found, ok)
		}
		if says := strings.Contains(strings.ToLower(want.Solution), "retry"); got.Retry != says {
			t.Errorf("%s: retry %v, its remedy is %q", want.Code, got.Retry, want.Solution)
		}
	}
}

func TestParseCodeKnowsNoOtherName(t *testing.T) {
	for _, name := range []string{"", "internal_error", "TEAPOT", "INTERNAL_ERROR "} {
		if code, ok := tallygate.ParseCode(name); ok || code != tallygate.InternalError {
			t.Errorf("ParseCode(%q) = %v, %v", name, code, ok)
		}
	}
}

func TestAMessageIsTheContractsSentenceAndTheDetail(t *testing.T) {
	for _, c := range []struct {
		err  *tallygate.Error
		want string
	}{
		{&tallygate.Error{Code: tallygate.DatabaseError}, "A database error occurred: Retry after a delay"},
		{tallygate.Errorf(tallygate.JobNotFound, "no job has the id %.4q", "job_1"), `The specified job was not found: no job has the id "job_"`},
	} {
		if got := c.err.Message(); got != c.want {
			t.Errorf("message %q, want %q", got, c.want)
		}
	}
}

func TestTheCauseIsForLogsAlone(t *testing.T) {
	err := &tallygate.Error{Code: tallygate.DatabaseError, Detail: "retry", Err: io.ErrUnexpectedEOF}
	if strings.Contains(err.Message(), "EOF") {
		t.Errorf("the message tells the cause: %q", err.Message())
	}
	if !strings.Contains(err.Error(), "EOF") || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the log does not: %q", err)
	}
}

func TestAnythingUnknownIsAnInternalError(t *testing.T) {
	known := tallygate.Errorf(tallygate.ClientNotFound, "none")
	if got := tallygate.AsError(fmt.Errorf("look up: %w", known)); got != known {
		t.Errorf("a wrapped error became %v", got)
	}
	got := tallygate.AsError(io.EOF)
	if got.Code != tallygate.InternalError || !errors.Is(got, io.EOF) || strings.Contains(got.Message(), "EOF") {
		t.Errorf("an unknown error became %v with the message %q", got, got.Message())
	}
	if !tallygate.IsCode(fmt.Errorf("look up: %w", known), tallygate.ClientNotFound) || tallygate.IsCode(io.EOF, tallygate.InternalError) || tallygate.IsCode(nil, 0) {
		t.Error("IsCode finds codes where there are none, or misses them")
	}
}

func TestAFinalErrorIsNotToBeRetried(t *testing.T) {
	if err := (&tallygate.Error{Code: tallygate.ExternalServiceError}); !err.Retry() {
		t.Error("EXTERNAL_SERVICE_ERROR may be retried")
	}
	if err := (&tallygate.Error{Code: tallygate.ExternalServiceError, Final: true}); err.Retry() {
		t.Error("a final one may not")
	}
}

func TestAFailedCommitIsFoundBehindItsError(t *testing.T) {
	err := error(&tallygate.Error{Code: tallygate.DatabaseError, Err: tallygate.ErrCommit{Cause: io.ErrShortWrite}})
	if lost := (tallygate.ErrCommit{}); !errors.As(err, &lost) || !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("%v hides that the commit failed", err)
	}
}
