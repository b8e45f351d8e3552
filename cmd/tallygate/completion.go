package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return "Examples:\n\n" +
		"    source <(tallygate completion bash)\n" +
		"    tallygate completion zsh > \"${fpath[1]}/_tallygate\"\n" +
		"    tallygate completion fish > ~/.config/fish/completions/tallygate.fish\n"
}

func (c *completionCmd) Run(a *app, line *kong.Context) error {
	var script strings.Builder
	places := placesOf(line.Model.Node)
	switch c.Shell {
	case "bash":
		writeBash(&script, places)
	case "zsh":
		writeZsh(&script, places)
	case "fish":
		writeFish(&script, places)
	}
	_, err := io.WriteString(a.stdout, script.String())
	return err
}

// place is a command and what may follow it.
type place struct {
	path  string // "job submit"; empty: the program itself
	words []word
	files bool // its arguments are files
}

type word struct {
	text, help string
	takesValue bool // a flag that the next word belongs to
}

// placesOf lists the commands of the model, each after the one that it belongs to.
func placesOf(n *kong.Node) []place {
	var p place
	if n.Type == kong.CommandNode {
		p.path = strings.TrimPrefix(n.FullPath(), "tallygate ")
	}
	for _, child := range n.Children {
		if !child.Hidden {
			p.words = append(p.words, word{text: child.Name, help: child.Help})
		}
	}
	for _, arg := range n.Positional {
		if values := enumOf(arg); len(values) > 0 {
			for _, value := range values {
				p.words = append(p.words, word{text: value})
			}
		}
		p.files = p.files || arg.Name == "file" || arg.Name == "path"
	}
	for _, group := range n.AllFlags(true) {
		for _, flag := range group {
			p.words = append(p.words, word{"--" + flag.Name, flag.Help, !flag.IsBool()})
		}
	}
	places := []place{p}
	for _, child := range n.Children {
		if !child.Hidden {
			places = append(places, placesOf(child)...)
		}
	}
	return places
}

func enumOf(v *kong.Value) []string {
	if v.Enum == "" {
		return nil
	}
	return v.EnumSlice()
}

// shellQuote makes one word of a text for any of the shells.
func shellQuote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", "’") + "'"
}

// findPlace is the part that bash and zsh share: the words up to the cursor that name a command are the place. Flags
// and their values are passed over, since a value names a command only by chance.
const findPlace = `  local place="" word
  for word in "${words[@]:1:$((cword-1))}"; do
    case "$place${place:+ }$word" in
      %s) place="$place${place:+ }$word" ;;
    esac
  done
`

// placePattern is the pattern of all paths, for findPlace.
func placePattern(places []place) string {
	var paths []string
	for _, p := range places {
		if p.path != "" {
			paths = append(paths, `"`+p.path+`"`)
		}
	}
	return strings.Join(paths, "|")
}

func writeBash(w io.Writer, places []place) {
	fmt.Fprint(w, "# bash completion for tallygate\n_tallygate() {\n")
	fmt.Fprint(w, "  local words=(\"${COMP_WORDS[@]}\") cword=$COMP_CWORD cur=\"${COMP_WORDS[COMP_CWORD]}\" candidates=\"\" files=\"\"\n")
	fmt.Fprintf(w, findPlace, placePattern(places))
	fmt.Fprint(w, "  case \"$place\" in\n")
	for _, p := range places {
		texts := make([]string, len(p.words))
		for i, candidate := range p.words {
			texts[i] = candidate.text
		}
		files := ""
		if p.files {
			files = " files=1"
		}
		fmt.Fprintf(w, "    %q) candidates=%s%s ;;\n", p.path, shellQuote(strings.Join(texts, " ")), files)
	}
	_, _ = io.WriteString(w, `  esac
  # Flags are offered once a dash is there.
  [[ $cur == -* ]] || candidates=$(printf '%s\n' $candidates | grep -v '^-')
  COMPREPLY=($(compgen -W "$candidates" -- "$cur"))
  if [[ -n $files || ${words[cword-1]} == --* ]] && [[ $cur != -* ]]; then
    COMPREPLY+=($(compgen -f -- "$cur"))
  fi
}
complete -o filenames -F _tallygate tallygate
`)
}

func writeZsh(w io.Writer, places []place) {
	fmt.Fprint(w, "#compdef tallygate\n# zsh completion for tallygate\n_tallygate() {\n  local cword=$CURRENT files=\"\"\n  local -a candidates\n")
	fmt.Fprintf(w, strings.Replace(findPlace, `"${words[@]:1:$((cword-1))}"`, `"${(@)words[2,cword-1]}"`, 1), placePattern(places))
	fmt.Fprint(w, "  case \"$place\" in\n")
	for _, p := range places {
		fmt.Fprintf(w, "    %q)\n", p.path)
		if p.files {
			fmt.Fprint(w, "      files=1\n")
		}
		fmt.Fprint(w, "      candidates=(\n")
		for _, candidate := range p.words {
			text := strings.ReplaceAll(candidate.text, ":", `\:`)
			if candidate.help != "" {
				text += ":" + candidate.help
			}
			fmt.Fprintf(w, "        %s\n", shellQuote(text))
		}
		fmt.Fprint(w, "      ) ;;\n")
	}
	_, _ = io.WriteString(w, `  esac
  # Flags are offered once a dash is there.
  if [[ $PREFIX == -* ]]; then candidates=(${(M)candidates:#-*}); else candidates=(${candidates:#-*}); fi
  _describe tallygate candidates
  if [[ -n $files || ${words[cword-1]} == --* ]]; then _files; fi
}
if [[ $funcstack[1] == _tallygate ]]; then _tallygate "$@"; else compdef _tallygate tallygate; fi
`)
}

func writeFish(w io.Writer, places []place) {
	fmt.Fprint(w, "# fish completion for tallygate\nfunction __tallygate_place\n  set -l place\n  for word in (commandline -opc)[2..-1]\n")
	fmt.Fprint(w, "    switch (string join -- ' ' $place $word)\n      case")
	for _, p := range places {
		if p.path != "" {
			fmt.Fprintf(w, " %s", shellQuote(p.path))
		}
	}
	fmt.Fprint(w, "\n        set -a place $word\n    end\n  end\n  test \"$place\" = \"$argv\"\nend\ncomplete -c tallygate -f\n")
	for _, p := range places {
		condition := shellQuote("__tallygate_place " + p.path)
		if p.path == "" {
			condition = shellQuote(`__tallygate_place ""`)
		}
		if p.files {
			fmt.Fprintf(w, "complete -c tallygate -n %s -F\n", condition)
		}
		for _, candidate := range p.words {
			name, isFlag := strings.CutPrefix(candidate.text, "--")
			if isFlag {
				value := ""
				if candidate.takesValue {
					value = " -r -F"
				}
				fmt.Fprintf(w, "complete -c tallygate -n %s -l %s%s -d %s\n", condition, name, value, shellQuote(candidate.help))
			} else {
				fmt.Fprintf(w, "complete -c tallygate -n %s -a %s -d %s\n", condition, candidate.text, shellQuote(candidate.help))
			}
		}
	}
}
