package archive

import (
	"fmt"
	"strings"
)

const (
	mostLinkBytes   = 1 << 20 // of names and targets kept
	mostTargetBytes = 4096    // PATH_MAX
	mostHops        = 40      // as Linux follows
	mostSteps       = 1 << 24 // bytes of paths that all links together may lead through
)

// links keeps the links of an archive, to follow them once all are known: a
// chain of harmless links may lead out.
type links struct {
	kept  []link
	bytes int
	over  bool // some were not kept
}

type link struct {
	name, target string
	hard         bool // its target starts at the folder, not beside the link
}

func (l *links) add(m member) {
	size := len(m.name) + len(m.target)
	if len(m.target) > mostTargetBytes || l.bytes+size > mostLinkBytes {
		l.over = true
		return
	}
	l.bytes += size
	l.kept = append(l.kept, link{
		name:   m.name,
		target: strings.ReplaceAll(m.target, `\`, "/"),
		hard:   m.Type == "hardlink",
	})
}

type escape struct{ name, why string }

// escapes gives the links that lead out of the folder.
func (l *links) escapes() []escape {
	walk := walk{root: &folder{}, steps: mostSteps}
	for _, link := range l.kept {
		if !link.hard {
			walk.root.hang(link)
		}
	}
	var found []escape
	for _, link := range l.kept {
		if why := walk.follow(link); why != "" {
			found = append(found, escape{link.name, why})
		}
	}
	if l.over || walk.steps < 0 {
		found = append(found, escape{"", "it has too many or too long links; not every one is followed"})
	}
	return found
}

// folder is a node of the tree that the names of symbolic links make. A nil
// one is a folder with no link in it.
type folder struct {
	parts  map[string]*folder
	isLink bool
	target string
}

func (f *folder) part(name string) *folder {
	if f == nil {
		return nil
	}
	return f.parts[name]
}

func (f *folder) hang(link link) {
	at := f
	for part := range strings.SplitSeq(link.name, "/") {
		if part == "" || part == "." {
			continue
		}
		next := at.part(part)
		if next == nil {
			next = &folder{}
			if at.parts == nil {
				at.parts = map[string]*folder{}
			}
			at.parts[part] = next
		}
		at = next
	}
	at.isLink, at.target = true, link.target
}

// walk follows links; steps bounds what hostile chains may cost.
type walk struct {
	root  *folder
	steps int
}

// follow goes from the root folder to where the link points, through every
// link on the way, and says why it escapes, or "".
func (w *walk) follow(start link) string {
	if isAbsolute(start.target) {
		return fmt.Sprintf("it points to %s", shown(start.target))
	}
	way := start.target
	if !start.hard {
		name := strings.TrimRight(start.name, "/")
		way = name[:strings.LastIndexByte(name, '/')+1] + start.target
	}
	at := []*folder{w.root}
	hops := 0
	for w.steps -= len(way); way != "" && w.steps >= 0; {
		var part string
		part, way, _ = strings.Cut(way, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 1 {
				return fmt.Sprintf("it points to %s, which is out of the folder", shown(start.target))
			}
			at = at[:len(at)-1]
			continue
		}
		next := at[len(at)-1].part(part)
		if next == nil || !next.isLink {
			at = append(at, next)
			continue
		}
		if hops++; hops > mostHops {
			return "it leads through more links than a system follows"
		}
		if isAbsolute(next.target) {
			return fmt.Sprintf("it leads through a link to %s", shown(next.target))
		}
		way = next.target + "/" + way
		w.steps -= len(way)
	}
	return ""
}
