package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestBashCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash here")
	}
	script := tally(t.Context(), "", "completion", "bash").stdout
	for line, want := range map[string][]string{
		"tallygate jo":                        {"job", "job-type"},
		"tallygate job s":                     {"submit"},
		"tallygate --url x job ":              {"cancel", "get", "list", "logs", "result", "submit", "watch"},
		"tallygate job submit text.stats --m": {"--max-cost", "--metadata"},
		"tallygate completion ":               {"bash", "fish", "zsh"},
		"tallygate key scan main.g":           {"main.go"},
		"tallygate demo-":                     nil,
	} {
		words := strings.Split(line, " ")
		quoted := make([]string, len(words))
		for i, word := range words {
			quoted[i] = shellQuote(word)
		}
		ask := script + "\nCOMP_WORDS=(" + strings.Join(quoted, " ") + "); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _tallygate; printf '%s\\n' \"${COMPREPLY[@]}\""
		out, err := exec.CommandContext(t.Context(), bash, "--norc", "-c", ask).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got := strings.Fields(string(out))
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", line, got, want)
		}
	}
}

func TestScriptsAreWellFormed(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		r := tally(t.Context(), "", "completion", shell)
		if r.code != exitOK || !strings.Contains(r.stdout, "job-type") || strings.Contains(r.stdout, "demo-worker") {
			t.Errorf("%s: exit %d: %.200s", shell, r.code, r.stdout)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		check := exec.CommandContext(t.Context(), path, "-n", "/dev/stdin")
		check.Stdin = strings.NewReader(r.stdout)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v: %s", shell, err, out)
		}
	}
	if r := tally(t.Context(), "", "completion", "tcsh"); r.code != exitUsage {
		t.Errorf("tcsh: exit %d", r.code)
	}
}

func TestTheVersionIsTold(t *testing.T) {
	if r := tally(t.Context(), "", "version"); r.code != exitOK || !strings.HasPrefix(r.stdout, "tallygate ") {
		t.Errorf("exit %d: %s", r.code, r.stdout)
	}
	got := decode[build](t, tally(t.Context(), "", "version", "--json"))
	if got.Version == "" || !strings.HasPrefix(got.Go, "go") || got.System == "" {
		t.Errorf("got %+v", got)
	}
}
