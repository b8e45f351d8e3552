package textstats

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSampleIsCountedAndEnglish(t *testing.T) {
	out, units, err := Analyse(t.Context(), SampleInput(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(len(Sample())+1023) / 1024; units["kilobyte"] != want || len(units) != 1 {
		t.Errorf("units = %v, want %d kilobyte", units, want)
	}
	got := decodeResult(t, out)
	if got.Language != "en" || got.Lines != 14 || len(got.TopWords) != 10 || got.TopWords[0].Word != "the" {
		t.Errorf("result = %+v", got)
	}
	if words := len(strings.Fields(Sample())); got.Words != words {
		t.Errorf("words = %d, want the %d that spaces part", got.Words, words)
	}
	// The heading, and all but the decimal point and the dots in between end one.
	if got.Sentences != 14 {
		t.Errorf("sentences = %d", got.Sentences)
	}
	if strings.ContainsAny(string(out), "\n\t") {
		t.Error("the result is not compact")
	}
}

func TestWordsAreCountedInEveryScript(t *testing.T) {
	for _, test := range []struct {
		text  string
		words []string
	}{
		{"", nil},
		{" \t\n — … !", nil},
		{"one two  three", []string{"one", "two", "three"}},
		{"Don't stop: it’s rock 'n' roll's", []string{"don't", "stop", "it's", "rock", "n", "roll's"}},
		{"well-known 3.14 and 1,000,000, v2", []string{"well", "known", "3.14", "and", "1,000,000", "v2"}},
		{"Straße ÉCOLE naïve", []string{"straße", "école", "naïve"}},
		{"e\u0301te\u0301 x", []string{"e\u0301te\u0301", "x"}},
		{"Привет, мир! γειά", []string{"привет", "мир", "γειά"}},
		{"計算する テスト", []string{"計", "算", "す", "る", "テスト"}},
		{"ab計c", []string{"ab", "計", "c"}},
		{"שלום עולם مرحبا", []string{"שלום", "עולם", "مرحبا"}},
		{"नमस्ते दुनिया", []string{"नमस्ते", "दुनिया"}},
		{"l'eau d’or", []string{"l'eau", "d'or"}},
		{"👩‍👩‍👧 snow☃man", []string{"snow", "man"}},
		{"sil\u00adver", []string{"sil\u00adver"}},
	} {
		got := count(test.text)
		for _, word := range test.words {
			if got.byWord[word] == 0 {
				t.Errorf("%q: no word %q in %v", test.text, word, got.byWord)
			}
		}
		if got.words != len(test.words) {
			t.Errorf("%q has %d words, want %d: %v", test.text, got.words, len(test.words), got.byWord)
		}
	}
}

func TestLinesAreCountedForEveryLineBreak(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "a": 1, "a\n": 1, "a\nb": 2, "a\r\nb\r\n": 2, "a\rb": 2, "\n\n\n": 3, "a\n\r\nb": 3,
	} {
		if got := count(text).lines; got != want {
			t.Errorf("%q has %d lines, want %d", text, got, want)
		}
	}
}

func TestSentencesEndWhereAReaderEndsThem(t *testing.T) {
	for text, want := range map[string]int{
		"":                 0,
		"...":              0,
		"No terminator":    1,
		"One. Two! Three?": 3,
		"What?! Really...": 2,
		"Dr. Smith met J. Doe at 3.30 p.m. sharp.": 1,
		"Wait... what? Well… maybe.":               2,
		"He said \"Stop.\" Then he left.":          2,
		"(It rained.) It stopped.":                 2,
		"A heading\n\nThen a text":                 2,
		"a line\nthat goes on.\nAnother.":          2,
		"See example.com for more.":                1,
		"今日は雨です。明日は晴れ！本当？":                         3,
		"Er sagte „Halt.“ Dann ging er.":           2,
		"Version 2. It works.":                     2,
		"It ends with a number: 5. Next one.":      2,
		"e.g. this one is short.":                  1,
	} {
		if got := count(text).sentences; got != want {
			t.Errorf("%q has %d sentences, want %d", text, got, want)
		}
	}
}

func TestLanguageIsToldByItsStopWords(t *testing.T) {
	for text, want := range map[string]string{
		"The quick brown fox jumps over the lazy dog and is happy with it.":               "en",
		"Der schnelle braune Fuchs springt über den faulen Hund und ist zufrieden.":       "de",
		"Le renard brun saute par-dessus le chien paresseux et il est content de lui.":    "fr",
		"L'eau n'est pas d'ici, c'est l'eau qu'on boit.":                                  "fr",
		"El zorro marrón salta sobre el perro perezoso y está muy contento con los días.": "es",
		"La volpe marrone salta sopra il cane pigro ed è molto contenta della giornata.":  "it",
		"A raposa marrom salta sobre o cão preguiçoso e não está cansada do dia.":         "pt",
		"De snelle bruine vos springt over de luie hond en het is een mooie dag.":         "nl",
		"hello world":                           "unknown",
		"lorem ipsum dolor sit amet":            "unknown",
		"":                                      "unknown",
		"1 2 3 4":                               "unknown",
		"今日は雨です":                                "unknown",
		"Szybki brązowy lis skacze wysoko":      "unknown",
		"the and " + strings.Repeat("zyx ", 60): "unknown",
	} {
		counted := count(text)
		if got := language(counted.byWord, counted.words); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}

func TestTopWordsGoByFrequencyThenAlphabet(t *testing.T) {
	got := analyse(t, `{"text":"B b a A c C d e e e","top":3}`)
	want := []WordCount{{"e", 3}, {"a", 2}, {"b", 2}}
	if !slices.Equal(got.TopWords, want) || got.UniqueWords != 5 {
		t.Errorf("top = %v of %d", got.TopWords, got.UniqueWords)
	}
	if got := analyse(t, `{"text":"a b","top":0}`); got.TopWords == nil || len(got.TopWords) != 0 {
		t.Errorf("top 0 = %v, want an empty list", got.TopWords)
	}
}

func TestLengthsAndReadingTime(t *testing.T) {
	got := analyse(t, `{"text":"äöü be longest firsts"}`)
	if got.Bytes != 24 || got.Characters != 21 || got.LongestWord != "longest" || got.AverageWordLength != 4.5 {
		t.Errorf("result = %+v", got)
	}
	if got.ReadingTimeSeconds != 2 {
		t.Errorf("4 words take %d s", got.ReadingTimeSeconds)
	}
	if got := analyse(t, `{"text":"`+strings.Repeat("x ", 238)+`"}`); got.ReadingTimeSeconds != 60 {
		t.Errorf("238 words take %d s", got.ReadingTimeSeconds)
	}
	if got := analyse(t, `{"text":"`+strings.Repeat("ü", 5000)+`"}`); utf8.RuneCountInString(got.LongestWord) != maxShownRunes+1 {
		t.Errorf("a word of 5000 is shown as %q", got.LongestWord)
	}
}

func TestWrongInputIsFinalAndSaysWhy(t *testing.T) {
	for input, says := range map[string]string{
		``:                            "refused",
		`{"text":"a`:                  "refused",
		`"text"`:                      "JSON object",
		`{}`:                          "text is missing",
		`{"text":null}`:               "text is missing",
		`{"text":7}`:                  "text cannot be a number",
		`{"text":"a","tpo":1}`:        "tpo",
		`{"text":"a","top":-1}`:       "between 0 and 1000",
		`{"text":"a","top":1001}`:     "between 0 and 1000",
		`{"text":"a"}{"text":"b"}`:    "goes on",
		"{\"text\":\"\xff\xfe bad\"}": "not UTF-8",
	} {
		_, units, err := Analyse(t.Context(), []byte(input), nil)
		var wrong *InputError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), says) || units != nil {
			t.Errorf("%.40q: error = %v, want an InputError with %q", input, err, says)
		}
	}
	if _, err := parseRequest([]byte(`{"text":"12345"}`), 5); err != nil {
		t.Errorf("a text at the bound: %v", err)
	}
	var wrong *InputError
	if _, err := parseRequest([]byte(`{"text":"12345\u00e9"}`), 6); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "7 bytes; at most 6") {
		t.Errorf("a text past the bound: %v", err)
	}
}

func TestLargeTextReportsProgressAndHonoursCancellation(t *testing.T) {
	input := []byte(`{"text":"` + strings.Repeat("word by word it grows. ", 3<<20/23) + `"}`)
	var last float64
	var lines []string
	_, units, err := Analyse(t.Context(), input, func(fraction float64, log string) {
		if fraction < last {
			t.Errorf("progress went from %v to %v", last, fraction)
		}
		last = fraction
		if log != "" {
			lines = append(lines, log)
		}
	})
	if err != nil || last != 1 || units["kilobyte"] != 3072 {
		t.Errorf("ended at %v with %v units and %v", last, units, err)
	}
	if len(lines) != 2 || lines[0] != "counted 1 of 3 MiB" {
		t.Errorf("logged %q", lines)
	}

	ctx, cancel := context.WithCancel(t.Context())
	_, _, err = Analyse(ctx, input, func(fraction float64, _ string) {
		cancel()
		if fraction > 0.1 {
			t.Errorf("cancelled and still going at %v", fraction)
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v", err)
	}
}

func TestInputSchemaIsJSON(t *testing.T) {
	if !json.Valid([]byte(InputSchema)) {
		t.Error("InputSchema is not JSON")
	}
}

func FuzzInput(f *testing.F) {
	f.Add(SampleInput())
	f.Add([]byte(`{"text":"a\ud800b","top":3}`))
	f.Add([]byte(`{"text":"","top":null}`))
	f.Fuzz(func(t *testing.T, input []byte) {
		out, units, err := Analyse(t.Context(), input, nil)
		if err != nil {
			var wrong *InputError
			if !errors.As(err, &wrong) {
				t.Fatalf("error %v is not an InputError", err)
			}
			return
		}
		if got := decodeResult(t, out); units["kilobyte"] < 0 || units["kilobyte"]*1024 < int64(got.Bytes) {
			t.Errorf("units = %v of %d bytes", units, got.Bytes)
		}
	})
}

func FuzzInputText(f *testing.F) {
	f.Add(Sample())
	f.Add("Dr. Who… said 1.5 „Halt.“ e.g.\r\n\n今日は。l'eau\u00ad\u200d")
	f.Add("a.' \" . \xff\xfe . .")
	f.Fuzz(func(t *testing.T, text string) {
		whole, stepwise := count(text), newCounter(text)
		for !stepwise.done() {
			before := stepwise.next
			if stepwise.advance(1); stepwise.next <= before {
				t.Fatalf("no step forward at %d", before)
			}
		}
		stepwise.finish()
		sum := 0
		for word, n := range whole.byWord {
			if sum += n; stepwise.byWord[word] != n {
				t.Errorf("%q is counted %d times in steps, %d in one go", word, stepwise.byWord[word], n)
			}
		}
		if sum != whole.words || whole.sentences > whole.words || whole.wordRunes > utf8.RuneCountInString(text) {
			t.Errorf("%d words, %d of them listed, %d sentences, %d characters in words", whole.words, sum, whole.sentences, whole.wordRunes)
		}
		if stepwise.sentences != whole.sentences || stepwise.lines != whole.lines {
			t.Errorf("in steps %d sentences and %d lines, in one go %d and %d", stepwise.sentences, stepwise.lines, whole.sentences, whole.lines)
		}
		language(whole.byWord, whole.words)
	})
}

func count(text string) *counter {
	c := newCounter(text)
	c.advance(len(text))
	c.finish()
	return c
}

func analyse(t *testing.T, input string) Result {
	t.Helper()
	out, _, err := Analyse(t.Context(), []byte(input), nil)
	if err != nil {
		t.Fatal(err)
	}
	return decodeResult(t, out)
}

func decodeResult(t *testing.T, out []byte) Result {
	t.Helper()
	var got Result
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	return got
}
