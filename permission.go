package tallygate

import (
	"slices"
	"strings"
)

// Permission is one thing that a key may do, such as "jobs:write".
type Permission string

// Permissions of clients' keys.
const (
	JobsRead      Permission = "jobs:read"
	JobsWrite     Permission = "jobs:write"
	AccountRead   Permission = "account:read"
	KeysRead      Permission = "keys:read"
	KeysWrite     Permission = "keys:write"
	WebhooksRead  Permission = "webhooks:read"
	WebhooksWrite Permission = "webhooks:write"
)

// Permissions of operators' keys alone.
const (
	ClientsRead   Permission = "clients:read"
	ClientsWrite  Permission = "clients:write"
	BalanceWrite  Permission = "balance:write"
	JobTypesWrite Permission = "job_types:write"
	AuditRead     Permission = "audit:read"
	Work          Permission = "work"
)

// ClientPermissions are those that a client's key may hold.
var ClientPermissions = []Permission{JobsRead, JobsWrite, AccountRead, KeysRead, KeysWrite, WebhooksRead, WebhooksWrite}

// OperatorPermissions are those that only an operator's key may hold.
var OperatorPermissions = []Permission{ClientsRead, ClientsWrite, BalanceWrite, JobTypesWrite, AuditRead, Work}

// Presets are names for usual sets of permissions; a request may name one among its permissions as "preset:NAME".
var Presets = map[string][]Permission{
	"full":      ClientPermissions,
	"submit":    {JobsRead, JobsWrite},
	"read_only": {JobsRead, AccountRead, KeysRead, WebhooksRead},
	"worker":    {Work},
	"operator":  slices.Concat(ClientPermissions, OperatorPermissions),
}

// PresetPrefix stands before a preset's name where permissions are listed.
const PresetPrefix = "preset:"

// PermissionSet is a set of permissions, sorted, without duplicates.
type PermissionSet []Permission

// ParsePermissions reads permissions and presets into a set; bad holds those that do not exist.
func ParsePermissions(names []string) (set PermissionSet, bad []string) {
	for _, name := range names {
		if preset, ok := strings.CutPrefix(name, PresetPrefix); ok && Presets[preset] != nil {
			set = append(set, Presets[preset]...)
		} else if p := Permission(name); slices.Contains(Presets["operator"], p) {
			set = append(set, p)
		} else {
			bad = append(bad, name)
		}
	}
	slices.Sort(set)
	return slices.Compact(set), bad
}

// Has reports whether p is in the set.
func (s PermissionSet) Has(p Permission) bool { return slices.Contains(s, p) }

// Missing returns what want has and s has not.
func (s PermissionSet) Missing(want PermissionSet) PermissionSet {
	var missing PermissionSet
	for _, p := range want {
		if !s.Has(p) {
			missing = append(missing, p)
		}
	}
	return missing
}

// NeedsOperator reports whether p is one of the operator's own.
func (p Permission) NeedsOperator() bool { return slices.Contains(OperatorPermissions, p) }
