package queue_test

import (
	"strings"
	"testing"
	"unicode"

	"github.com/tallygate/tallygate/queue"
)

const jsonTypes = "value must be one of 'array', 'boolean', 'integer', 'null', 'number', 'object', 'string'"

func TestABadSchemaIsToldOnOneLine(t *testing.T) {
	long := strings.Repeat("é\u202e", 5000)
	for schema, want := range map[string]string{
		`{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":["string",{"$ref":"#"}]}}}`: "at /$defs/a~1b/type/1: " + jsonTypes,

		`3`:                                     "got number, want boolean or object",
		`{`:                                     "it is not JSON: unexpected EOF",
		`{"type":"strange"}`:                    "at /type: " + jsonTypes,
		`{"type":["string","strange"]}`:         "at /type/1: " + jsonTypes,
		`{"properties":{"b":5,"a":5}}`:          "at /properties/a: got number, want boolean or object",
		`{"minLength":-1,"required":"a"}`:       "at /minLength: minimum: got -1, want 0",
		`{"pattern":"("}`:                       "at /pattern: '(' is not valid regex: error parsing regexp: missing closing ): `(`",
		`{"patternProperties":{"(":{}}}`:        "at /patternProperties: '(' is not valid regex: error parsing regexp: missing closing ): `(`",
		`{"type":"string","$ref":"#/type"}`:     "at /type: got string, want boolean or object",
		`{"$ref":"#/$defs/x"}`:                  `nothing is at "#/$defs/x"`,
		`{"$ref":"#x"}`:                         `nothing is at "#x"`,
		`{"$ref":"other"}`:                      `"other": a schema may refer only to parts of itself`,
		`{"$ref":"http://127.0.0.1/y"}`:         `"http://127.0.0.1/y": a schema may refer only to parts of itself`,
		`{"$ref":"file:///etc/passwd"}`:         `"file:///etc/passwd": a schema may refer only to parts of itself`,
		`{"$schema":"http://x/y"}`:              `"http://x/y": a schema may refer only to parts of itself`,
		`{"properties":{"a\n\u001b":{"if":1}}}`: "at /properties/a\ufffd\ufffd/if: got number, want boolean or object",
		`{"$defs":{"a":{"$anchor":"x"},"b":{"$anchor":"x"}}}`: `anchor "x" stands at "/$defs/a" and at "/$defs/b"`,
		`{"$defs":{"a":{"$id":"x:y"},"b":{"$id":"x:y"}}}`:     `$id "x:y" stands at "/$defs/a" and at "/$defs/b"`,
		// What is long is cut.
		`{"properties":{"` + long + `":{"type":"x"}}}`: "…",
		`{"pattern":"(` + long + `"}`:                  "…",
		`{"$ref":"#` + long + `"}`:                     "…",
	} {
		definition := queue.Defaults()
		definition.Name, definition.InputSchema = "a", []byte(schema)
		faults := queue.CheckType(&definition, nil)
		if len(faults) != 1 || faults[0].Pointer != "/input_schema" {
			t.Errorf("%.80s: %v", schema, faults)
			continue
		}
		got, ok := strings.CutPrefix(faults[0].Text, "is not a JSON Schema (2020-12): ")
		if !ok || (got != want && (want != "…" || !strings.Contains(got, want))) {
			t.Errorf("%.80s:\ngot  %s\nwant %s", schema, got, want)
		}
		if len(got) > 400 || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }) ||
			strings.Contains(got, "tallygate") {
			t.Errorf("%.80s: %d bytes: %q", schema, len(got), got)
		}
	}
}

func TestASchemaMayReferToItsParts(t *testing.T) {
	definition := queue.Defaults()
	definition.Name = "a"
	for _, schema := range []string{
		`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}`,
		`{"$ref":"#x","$defs":{"a":{"$anchor":"x"}}}`,
		`{"$ref":"part","$defs":{"a":{"$id":"part"}}}`,
		`{"$id":"https://example.com/a","$ref":"b","$defs":{"b":{"$id":"b"}}}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`,
	} {
		definition.InputSchema = []byte(schema)
		if faults := queue.CheckType(&definition, nil); faults != nil {
			t.Errorf("%s: %v", schema, faults)
		}
	}
}
