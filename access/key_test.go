package access

import (
	"strings"
	"testing"

	"github.com/tallygate/tallygate"
)

const (
	sampleID     = tallygate.KeyID("key_01jz0000000000000000000000")
	sampleSecret = "0123456789abcdefghjkmnpqrstvwxyz"
)

func TestKeyText(t *testing.T) {
	text := FormatKey(sampleID, sampleSecret)
	if want := "tg_live_01jz0000000000000000000000_0123456789abcdefghjkmnpqrstvwxyz_rga0xm"; text != want {
		t.Errorf("the format has changed: %s, want %s", text, want)
	}
	id, secret, err := ParseKey(text)
	if id != sampleID || secret != sampleSecret || err != nil {
		t.Errorf("ParseKey: %s, %s, %v", id, secret, err)
	}
}

func TestParseKeyRefusesWhatIsNone(t *testing.T) {
	good := FormatKey(sampleID, sampleSecret)
	for name, c := range map[string]struct{ text, says string }{
		"empty":                  {"", "begins with tg_live_"},
		"another product's":      {"sk_live_abc", "begins with tg_live_"},
		"prefix alone":           {"tg_live_", "characters"},
		"cut":                    {good[:len(good)-1], "characters"},
		"longer":                 {good + "x", "characters"},
		"capitals":               {"tg_live_" + strings.ToUpper(good[8:]), "characters"},
		"letter not in alphabet": {strings.Replace(good, "abc", "alc", 1), "characters"},
		"ID above its range":     {FormatKey("key_81jz0000000000000000000000", sampleSecret), "characters"},
		"secret cut":             {FormatKey(sampleID, sampleSecret[1:]), "characters"},
		"underscores elsewhere":  {FormatKey("key_01jz000000000000000000000_", "0"+sampleSecret), "characters"},
		"checksum":               {good[:len(good)-1] + "0", "checksum"},
		"digit mistyped":         {strings.Replace(good, "345", "354", 1), "checksum"},
		"quoted":                 {`"` + good + `"`, "begins with tg_live_"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := ParseKey(c.text)
			wantCode(t, err, tallygate.AuthenticationFailed, c.says)
		})
	}
}

// A wrong character, and two neighbours swapped, are what typing does; the checksum finds all of them.
func TestChecksumFindsEveryTypingError(t *testing.T) {
	good := FormatKey(sampleID, sampleSecret)
	for i := len(keyPrefix); i < len(good); i++ {
		for _, c := range []byte(alphabet + "_") {
			typed := good[:i] + string(c) + good[i+1:]
			if _, _, err := ParseKey(typed); (err == nil) != (typed == good) {
				t.Errorf("%s at %d: %v", string(c), i, err)
			}
		}
		swapped := good[:i-1] + good[i:i+1] + good[i-1:i] + good[i+1:]
		if _, _, err := ParseKey(swapped); (err == nil) != (swapped == good) {
			t.Errorf("swapped at %d: %v", i, err)
		}
	}
}

func TestMadeKeysAreWellFormedAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text := MakeUnknownKey()
		id, secret, err := ParseKey(text)
		if err != nil {
			t.Fatal(err)
		}
		if !tallygate.ValidID(tallygate.KeyPrefix, string(id)) || seen[string(id)] || seen[secret] {
			t.Errorf("%s is ill-shaped or was made before", text)
		}
		seen[string(id)], seen[secret] = true, true
	}
}

func FuzzParseKey(f *testing.F) {
	good := FormatKey(sampleID, sampleSecret)
	for _, text := range []string{good, good[:40], "tg_live_", "", "Bearer " + good, strings.ToUpper(good), good[:73] + "0", strings.Repeat("_", keyLength)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, secret, err := ParseKey(text)
		if err != nil {
			wantCode(t, err, tallygate.AuthenticationFailed)
			if len(text) > 40 && strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats what was sent: %v", err)
			}
			return
		}
		if again := FormatKey(id, secret); again != text {
			t.Errorf("%q is written %q again", text, again)
		}
		if !tallygate.ValidID(tallygate.KeyPrefix, string(id)) {
			t.Errorf("%q gives the ill-shaped ID %q", text, id)
		}
	})
}
