package archive

import (
	"crypto/sha256"
	"fmt"
	"path"
	"strings"
)

// Kind says what sort of harm a finding is about.
type Kind string

// The kinds of findings.
const (
	ZipSlip       Kind = "zip_slip"       // a name leads, or on some system would lead, out of the folder
	AbsolutePath  Kind = "absolute_path"  // a name starts at a root or a drive
	SymlinkEscape Kind = "symlink_escape" // a link points out of the folder
	Bomb          Kind = "bomb"           // far more content than its size lets expect
	SizeMismatch  Kind = "size_mismatch"  // more content than the header declares
	DuplicateName Kind = "duplicate_name" // two entries for one file
	Encrypted     Kind = "encrypted"      // cannot be looked into
	Unreadable    Kind = "unreadable"     // packed or followed by something unknown
	NestedArchive Kind = "nested_archive" // an archive inside, not looked into; harmless by itself
	Truncated     Kind = "truncated"      // it ends too early
	BadChecksum   Kind = "bad_checksum"   // damaged
	SetUID        Kind = "setuid"         // runs with its owner's or group's rights
	Device        Kind = "device"         // a device or named pipe
)

// Finding is one thing that may do harm. Entry is empty where it concerns the
// archive as a whole.
type Finding struct {
	Kind   Kind   `json:"kind"`
	Entry  string `json:"entry"`
	Detail string `json:"detail"`
}

// find notes a finding. Each kind has its own bound, so that many of one kind
// cannot hide another.
func (in *inspection) find(kind Kind, entry, detail string, args ...any) {
	const mostOfKind = 50
	r := &in.result
	if r.FindingCounts[kind]++; r.FindingCounts[kind] <= mostOfKind {
		r.Findings = append(r.Findings, Finding{kind, shown(entry), shown(fmt.Sprintf(detail, args...))})
	}
}

// checkName judges a name as every system would read it: on Windows a
// backslash parts folders too, and a colon ends a drive.
func (in *inspection) checkName(m member) {
	slashed := strings.ReplaceAll(m.name, `\`, "/")
	if isAbsolute(slashed) {
		in.find(AbsolutePath, m.name, "the name starts at a root or a drive")
	}
	switch {
	case climbs(slashed):
		in.find(ZipSlip, m.name, "the name leads up with ..")
	case strings.ContainsRune(m.name, 0):
		in.find(ZipSlip, m.name, "the name holds a zero byte, where some systems end it")
	case in.result.Format == "zip" && slashed != m.name:
		// In a tar a backslash is a letter like any other; a zip must not have it (APPNOTE 4.4.17.1).
		in.find(ZipSlip, m.name, "the name parts folders with a backslash")
	}
}

// isAbsolute is true of names, with slashes alone, that start at a root, a
// share or a drive.
func isAbsolute(name string) bool {
	if strings.HasPrefix(name, "/") {
		return true
	}
	if len(name) < 2 || name[1] != ':' {
		return false
	}
	drive := name[0] | 0x20
	return drive >= 'a' && drive <= 'z'
}

// climbs is true of names, with slashes alone, that have .. on their way.
func climbs(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		// Windows drops spaces and points at the end of a name.
		if part == ".." || strings.HasPrefix(part, "..") && strings.Trim(part, ". ") == "" && strings.Contains(part, " ") {
			return true
		}
	}
	return false
}

// names knows which names are taken, by hash: an archive of small entries may
// have names of a megabyte each.
type names map[[16]byte]bool // the value says that a directory has it

// isTaken notes the name of m. Directories may come twice, since they do no harm.
func (n names) isTaken(m member) bool {
	sum := sha256.Sum256([]byte(path.Clean(strings.ReplaceAll(m.name, `\`, "/"))))
	key := [16]byte(sum[:16])
	wasDir, taken := n[key]
	isDir := m.Type == "dir"
	n[key] = isDir && (wasDir || !taken)
	return taken && !(wasDir && isDir)
}
