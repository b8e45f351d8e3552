package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

func run(t *testing.T, data []byte, separator string) (string, *tallygate.Attempt, error) {
	t.Helper()
	input, err := json.Marshal(request{data, separator})
	if err != nil {
		t.Fatal(err)
	}
	attempt := &tallygate.Attempt{Job: &tallygate.Job{Input: input}}
	result, err := tallygate.HandlerOf(profile)(t.Context(), attempt)
	if err != nil {
		return "", attempt, err
	}
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), attempt, nil
}

func packed(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

func TestColumnsAreProfiled(t *testing.T) {
	const file = "\uFEFFcity;height;note\nZürich;408;\n\"Oslo; N\";23;\nQuito;2850;\nZürich;;\n"
	const want = `{"rows":4,"columns":[` +
		`{"name":"city","kind":"text","empty":0,"distinct":3,"shortest":5,"longest":7},` +
		`{"name":"height","kind":"number","empty":1,"distinct":3,"shortest":2,"longest":4,"min":23,"max":2850,"mean":1093.66666667,"stddev":1533.1622006},` +
		`{"name":"note","kind":"empty","empty":4,"distinct":0,"shortest":0,"longest":0}]}`
	for name, data := range map[string][]byte{"plain": []byte(file), "gzip": packed(file)} {
		got, attempt, err := run(t, data, ";")
		if err != nil {
			t.Fatal(err)
		}
		var a, b any
		if json.Unmarshal([]byte(got), &a) != nil || json.Unmarshal([]byte(want), &b) != nil || fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if n := attempt.Used()["kilorow"]; n != 1 {
			t.Errorf("%s: %d kilorows", name, n)
		}
	}
}

func TestAFileThatCannotBeReadFailsForGood(t *testing.T) {
	for says, data := range map[string][]byte{
		"the file is empty":      {},
		"wrong number of fields": []byte("a,b\n1\n"),
		"unexpected EOF":         {0x1f, 0x8b, 0},
	} {
		if _, _, err := run(t, data, ""); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	if _, err := io.ReadAll(&bounded{strings.NewReader("12345"), 4}); err == nil || !strings.Contains(err.Error(), "unpacks to more") {
		t.Errorf("too much: %v", err)
	}
}

func TestACancelledJobStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	attempt := &tallygate.Attempt{Job: &tallygate.Job{}}
	_, err := profile(ctx, attempt, request{Data: []byte("a\n" + strings.Repeat("1\n", unit))})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
