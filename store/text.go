package store

import (
	"net/netip"
	"strings"

	"github.com/tallygate/tallygate"
)

// Lists are stored as words with a space between.

func joinPermissions(set tallygate.PermissionSet) string {
	words := make([]string, len(set))
	for i, p := range set {
		words[i] = string(p)
	}
	return strings.Join(words, " ")
}

func splitPermissions(s string) tallygate.PermissionSet {
	words := strings.Fields(s)
	set := make(tallygate.PermissionSet, len(words))
	for i, w := range words {
		set[i] = tallygate.Permission(w)
	}
	return set
}

func joinPrefixes(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
	}
	return strings.Join(words, " ")
}

func parsePrefixes(s string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, w := range strings.Fields(s) {
		p, err := netip.ParsePrefix(w)
		if err != nil {
			return nil, err
		}
		prefixes = append(prefixes, p)
	}
	return prefixes, nil
}

func joinJobs(ids []tallygate.JobID) string {
	words := make([]string, len(ids))
	for i, id := range ids {
		words[i] = string(id)
	}
	return strings.Join(words, " ")
}

func splitJobs(s string) []tallygate.JobID {
	words := strings.Fields(s)
	ids := make([]tallygate.JobID, len(words))
	for i, w := range words {
		ids[i] = tallygate.JobID(w)
	}
	return ids
}
