// Package archive looks into zip, tar.gz and tar archives without unpacking
// them: what is inside, and what would do harm to somebody who extracts it.
// Its [Handler] offers the same as an HTTP service that a job server calls.
//
// Nothing is written to disk. Every entry is read as a stream, counted and
// thrown away, up to [Limits]; the sizes that an archive declares are only
// claims. It refuses multi-volume zips, and does not look into archives inside
// the archive.
package archive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate/demo/job"
)

const (
	mostListed     = 1000    // entries in the result
	mostTypes      = 200     // extensions in the result
	mostShownBytes = 512     // of a name in the result
	bombRatio      = 200     // content per compressed byte
	bombFloor      = 1 << 20 // content below which no ratio matters
)

// Limits bound what one inspection may cost the machine. A zero field takes
// its value from [DefaultLimits].
type Limits struct {
	ArchiveBytes int   // of the archive itself
	ReadBytes    int64 // of content, unpacked, over all entries
	Entries      int   // looked at
}

// DefaultLimits gives the limits of [Inspect].
func DefaultLimits() Limits {
	return Limits{ArchiveBytes: 16 << 20, ReadBytes: 1 << 30, Entries: 100_000}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	return Limits{
		ArchiveBytes: cmp.Or(l.ArchiveBytes, d.ArchiveBytes),
		ReadBytes:    cmp.Or(l.ReadBytes, d.ReadBytes),
		Entries:      cmp.Or(l.Entries, d.Entries),
	}
}

// Result is what [Inspect] answers.
type Result struct {
	Format          string         `json:"format"` // zip, tar.gz or tar
	Name            string         `json:"name,omitempty"`
	Entries         []Entry        `json:"entries"`          // the first 1000
	Truncated       bool           `json:"truncated"`        // not every entry is listed
	Count           int            `json:"count"`            // entries looked at
	TotalSize       int64          `json:"total_size"`       // of the contents
	TotalCompressed int64          `json:"total_compressed"` // of a zip's entries; else the archive's own size
	Largest         *Largest       `json:"largest"`
	Types           map[string]int `json:"types"`          // files by extension
	Findings        []Finding      `json:"findings"`       // the first 50 of each kind
	FindingCounts   map[Kind]int   `json:"finding_counts"` // all of them
	Safe            bool           `json:"safe"`           // no finding but nested archives
}

// Entry is one file, directory or link of the archive.
type Entry struct {
	Name           string     `json:"name"`
	Size           int64      `json:"size"` // as read; as declared where it could not be read
	CompressedSize *int64     `json:"compressed_size,omitempty"`
	Type           string     `json:"type"` // file, dir, symlink, hardlink or other
	Target         string     `json:"target,omitempty"`
	Mode           string     `json:"mode"` // octal, as 0644
	Modified       *time.Time `json:"modified"`
}

// Largest is the entry with most content.
type Largest struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// Inspect looks into the archive that input holds, within [DefaultLimits].
// The input obeys [InputSchema]; the result is a [Result] as compact JSON. The
// one unit is "entry", the entries looked at. An [*InputError] is final; any
// other error is the context's.
//
// A damaged or hostile archive is no error: it gives a result whose findings
// say so.
func Inspect(ctx context.Context, input []byte) (result []byte, units map[string]int64, err error) {
	return Limits{}.Inspect(ctx, input)
}

// Inspect is the package's [Inspect] within other limits.
func (l Limits) Inspect(ctx context.Context, input []byte) ([]byte, map[string]int64, error) {
	limits := l.orDefault()
	asked, err := parseRequest(input, limits)
	if err != nil {
		return nil, nil, err
	}
	inspection := newInspection(ctx, limits, asked.archive)
	inspection.result.Name = shown(asked.name)
	switch {
	case looksLikeZip(asked.archive):
		err = inspection.zip()
	case bytes.HasPrefix(asked.archive, []byte("\x1f\x8b")):
		err = inspection.tarGz()
	case looksLikeTar(asked.archive):
		err = inspection.tar()
	default:
		err = job.BadInput("the archive is not a zip, tar.gz or tar")
	}
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	inspection.finish()
	encoded, err := json.Marshal(inspection.result)
	if err != nil {
		return nil, nil, fmt.Errorf("encode result: %w", err)
	}
	return encoded, map[string]int64{"entry": int64(inspection.result.Count)}, nil
}

// inspection gathers the result.
type inspection struct {
	ctx      context.Context
	limits   Limits
	archive  []byte
	read     int64 // content read so far, of all entries
	unpacked int64 // of a tar.gz, with the headers
	links    links
	names    names
	stopped  bool // nothing more can be looked at
	buffer   []byte
	head     []byte // the beginning of an entry, long enough for a link's target
	result   Result
}

func newInspection(ctx context.Context, limits Limits, archive []byte) *inspection {
	return &inspection{
		ctx:     ctx,
		limits:  limits,
		archive: archive,
		names:   names{},
		buffer:  make([]byte, 64<<10),
		head:    make([]byte, 0, mostTargetBytes+1),
		result: Result{
			Entries:       []Entry{},
			Types:         map[string]int{},
			Findings:      []Finding{},
			FindingCounts: map[Kind]int{},
		},
	}
}

// member is an entry in the course of being looked at.
type member struct {
	Entry
	name   string // whole; Entry.Name may be cut
	target string // of a link
	setID  bool
	device bool
}

// admit says whether one more entry may be looked at.
func (in *inspection) admit() bool {
	if in.result.Count == in.limits.Entries {
		in.stopped = true
		in.find(Bomb, "", "it has more than %d entries; the rest is not looked at", in.limits.Entries)
	}
	return !in.stopped
}

// add takes an entry into the result, once its content is read.
func (in *inspection) add(m member) {
	in.checkName(m)
	if in.names.isTaken(m) {
		in.find(DuplicateName, m.name, "another entry has the same name")
	}
	if m.setID {
		in.find(SetUID, m.name, "its mode %s runs it as its owner or group", m.Mode)
	}
	if m.device {
		in.find(Device, m.name, "it is a device or a named pipe, not a file")
	}
	if m.Type == "symlink" || m.Type == "hardlink" {
		in.links.add(m)
	}

	r := &in.result
	r.Count++
	r.TotalSize = addSizes(r.TotalSize, m.Size)
	if m.CompressedSize != nil {
		r.TotalCompressed = addSizes(r.TotalCompressed, *m.CompressedSize)
	}
	m.Entry.Name, m.Entry.Target = shown(m.name), shown(m.target)
	if m.Type == "file" {
		in.countType(m.name)
		if r.Largest == nil || m.Size > r.Largest.Size {
			r.Largest = &Largest{m.Entry.Name, m.Size}
		}
	}
	if len(r.Entries) < mostListed {
		r.Entries = append(r.Entries, m.Entry)
	} else {
		r.Truncated = true
	}
}

func (in *inspection) countType(name string) {
	const mostExtensionBytes = 16
	base := path.Base(name)
	extension := strings.ToLower(path.Ext(base))
	if extension == "" || len(extension) == len(base) || len(extension) > mostExtensionBytes || !utf8.ValidString(extension) {
		extension = "(none)"
	}
	if _, known := in.result.Types[extension]; !known && len(in.result.Types) >= mostTypes {
		extension = "(other)"
	}
	in.result.Types[extension]++
}

// finish judges what only the whole archive shows.
func (in *inspection) finish() {
	for _, escape := range in.links.escapes() {
		in.find(SymlinkEscape, escape.name, "%s", escape.why)
	}
	unpacked := max(in.read, in.unpacked)
	if size := int64(len(in.archive)); unpacked > bombFloor && unpacked > bombRatio*size {
		in.find(Bomb, "", "%d bytes unpack to %d, more than %d times as much", size, unpacked, bombRatio)
	}
	r := &in.result
	r.Truncated = r.Truncated || in.stopped
	r.Safe = len(r.FindingCounts) == 0 || len(r.FindingCounts) == 1 && r.FindingCounts[NestedArchive] > 0
}

// addSizes adds without running over: a header may declare any size.
func addSizes(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// shown cuts what is too long for the result and mends what is not UTF-8.
func shown(name string) string {
	cut := name
	if len(name) > mostShownBytes {
		cut = name[:mostShownBytes]
		for len(cut) > 0 && !utf8.RuneStart(name[len(cut)]) {
			cut = cut[:len(cut)-1]
		}
		cut += "…"
	}
	return strings.ToValidUTF8(cut, "\uFFFD")
}

// modified leaves out what is unset or has no place in RFC 3339.
func modified(t time.Time) *time.Time {
	if t = t.UTC(); t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &t
}
