package tallygate_test

import (
	"slices"
	"testing"

	"github.com/tallygate/tallygate"
)

func TestParsePermissions(t *testing.T) {
	for _, c := range []struct {
		name      string
		names     []string
		want, bad []string
	}{
		{"none", nil, nil, nil},
		{"sorted, each once", []string{"jobs:write", "jobs:read", "jobs:write"}, []string{"jobs:read", "jobs:write"}, nil},
		{"a preset", []string{"preset:submit"}, []string{"jobs:read", "jobs:write"}, nil},
		{"a preset and what it holds", []string{"jobs:read", "preset:submit", "account:read"}, []string{"account:read", "jobs:read", "jobs:write"}, nil},
		{"an operator's", []string{"preset:worker", "balance:write"}, []string{"balance:write", "work"}, nil},
		{"unknown names", []string{"jobs:read", "jobs:*", "preset:root", "preset:", "", "Jobs:Read"}, []string{"jobs:read"}, []string{"jobs:*", "preset:root", "preset:", "", "Jobs:Read"}},
	} {
		set, bad := tallygate.ParsePermissions(c.names)
		var got []string
		for _, p := range set {
			got = append(got, string(p))
		}
		if !slices.Equal(got, c.want) || !slices.Equal(bad, c.bad) {
			t.Errorf("%s: %q and bad %q, want %q and %q", c.name, got, bad, c.want, c.bad)
		}
	}
}

func TestParsingPermissionsLeavesThePresetsAlone(t *testing.T) {
	before := slices.Clone(tallygate.Presets["submit"])
	set, _ := tallygate.ParsePermissions([]string{"preset:submit"})
	set[0] = "changed"
	if !slices.Equal(tallygate.Presets["submit"], before) {
		t.Errorf("the preset is now %q", tallygate.Presets["submit"])
	}
}

func TestClientsAndOperatorsPermissionsAreApart(t *testing.T) {
	for _, p := range tallygate.ClientPermissions {
		if p.NeedsOperator() {
			t.Errorf("%s is a client's", p)
		}
	}
	for _, p := range tallygate.OperatorPermissions {
		if !p.NeedsOperator() || slices.Contains(tallygate.ClientPermissions, p) {
			t.Errorf("%s is an operator's", p)
		}
	}
	if n := len(tallygate.Presets["operator"]); n != len(tallygate.ClientPermissions)+len(tallygate.OperatorPermissions) {
		t.Errorf("an operator may do %d things", n)
	}
}

func TestASetTellsWhatItLacks(t *testing.T) {
	set := tallygate.PermissionSet{tallygate.JobsRead, tallygate.JobsWrite}
	if !set.Has(tallygate.JobsRead) || set.Has(tallygate.Work) {
		t.Error("Has is wrong")
	}
	missing := set.Missing(tallygate.PermissionSet{tallygate.AccountRead, tallygate.JobsRead, tallygate.Work})
	if !slices.Equal(missing, tallygate.PermissionSet{tallygate.AccountRead, tallygate.Work}) {
		t.Errorf("missing %q", missing)
	}
	if missing := set.Missing(set); missing != nil {
		t.Errorf("a set lacks %q of itself", missing)
	}
}
