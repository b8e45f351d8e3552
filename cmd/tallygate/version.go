package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker for releases; otherwise the build knows its own.
var version string

type versionCmd struct{}

func (versionCmd) Help() string {
	return "Examples:\n\n    tallygate version\n    tallygate version --json\n"
}

// build is what this program is.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	System   string `json:"system"`
}

func readBuild() build {
	b := build{Version: version, Go: runtime.Version(), System: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	return b
}

func (b build) String() string {
	s := "tallygate " + b.Version
	if b.Revision != "" {
		s += " " + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			s += " with changes"
		}
	}
	return s + " (" + b.Go + " " + b.System + ")"
}

func (versionCmd) Run(a *app) error {
	if a.json {
		return a.printValue(readBuild())
	}
	_, err := fmt.Fprintln(a.stdout, readBuild())
	return err
}
