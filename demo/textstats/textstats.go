// Package textstats counts what is in a text: bytes, characters, words, lines
// and sentences, its most frequent words and its most probable language. Its
// [Handle] does so as jobs, for a worker of the Go SDK.
//
// Counting is Unicode aware and follows the common cases of Unicode Standard
// Annex 29. It refuses what that annex leaves to dictionaries: a run of Thai or
// Khmer is one word. Composed and decomposed letters count as different.
package textstats

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	maxTextBytes  = 16 << 20
	maxTop        = 1000
	defaultTop    = 10
	maxShownRunes = 100 // of one word in the result
	pace          = 238 // words a minute: Brysbaert, "How many words do we read per minute?", 2019
)

// Result is what [Analyse] answers.
type Result struct {
	Bytes              int         `json:"bytes"`
	Characters         int         `json:"characters"` // code points
	Words              int         `json:"words"`
	UniqueWords        int         `json:"unique_words"` // without regard to case
	Lines              int         `json:"lines"`
	Sentences          int         `json:"sentences"`
	TopWords           []WordCount `json:"top_words"`    // most frequent first, then by alphabet
	LongestWord        string      `json:"longest_word"` // the first of its length
	AverageWordLength  float64     `json:"average_word_length"`
	ReadingTimeSeconds int         `json:"reading_time_seconds"`
	Language           string      `json:"language"` // de, en, es, fr, it, nl, pt or unknown
}

// WordCount is a word in lower case and how often it occurs.
type WordCount struct {
	Word  string `json:"word"`
	Count int    `json:"count"`
}

// Analyse counts on the text that input gives; input obeys [InputSchema], and
// the result is a [Result] as compact JSON. The one unit is "kilobyte", the
// text's size in 1024 bytes of UTF-8, rounded up. An [*InputError] is final;
// any other error is the context's.
//
// report may be nil. It gets a growing fraction from 0 to 1, and a log line at
// each mebibyte, else an empty one.
func Analyse(ctx context.Context, input []byte, report func(fraction float64, log string)) (result []byte, units map[string]int64, err error) {
	asked, err := parseRequest(input, maxTextBytes)
	if err != nil {
		return nil, nil, err
	}
	if report == nil {
		report = func(float64, string) {}
	}

	// Ranking takes about a tenth of the time.
	const counting = 0.9
	size := len(asked.text)
	count := newCounter(asked.text)
	lines := 0
	for !count.done() {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		const piece = 128 << 10
		count.advance(piece)
		log := ""
		if mebibytes := count.next >> 20; mebibytes > lines {
			lines = mebibytes
			log = fmt.Sprintf("counted %d of %d MiB", mebibytes, (size+1<<20-1)>>20)
		}
		report(counting*float64(count.next)/float64(size), log)
	}
	count.finish()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}

	stats := Result{
		Bytes:              size,
		Characters:         utf8.RuneCountInString(asked.text),
		Words:              count.words,
		UniqueWords:        len(count.byWord),
		Lines:              count.lines,
		Sentences:          count.sentences,
		TopWords:           top(count.byWord, asked.top),
		LongestWord:        shown(count.longest),
		ReadingTimeSeconds: (count.words*60 + pace - 1) / pace,
		Language:           language(count.byWord, count.words),
	}
	if count.words > 0 {
		stats.AverageWordLength = math.Round(100*float64(count.wordRunes)/float64(count.words)) / 100
	}
	encoded, err := json.Marshal(stats)
	if err != nil {
		return nil, nil, fmt.Errorf("encode result: %w", err)
	}
	report(1, "")
	return encoded, map[string]int64{"kilobyte": int64(size+1023) / 1024}, nil
}

// top gives the n most frequent words; it keeps at most 2n of them at a time.
func top(byWord map[string]int, n int) []WordCount {
	best := make([]WordCount, 0, min(2*n, len(byWord)))
	trim := func() {
		slices.SortFunc(best, func(a, b WordCount) int {
			if a.Count != b.Count {
				return b.Count - a.Count
			}
			return strings.Compare(a.Word, b.Word)
		})
		best = best[:min(n, len(best))]
	}
	for word, count := range byWord {
		if best = append(best, WordCount{word, count}); len(best) >= 2*n {
			trim()
		}
	}
	trim()
	for i := range best {
		best[i].Word = shown(best[i].Word)
	}
	return best
}

// shown cuts a word that nobody could read anyway.
func shown(word string) string {
	runes := 0
	for i := range word {
		if runes == maxShownRunes {
			return word[:i] + "…"
		}
		runes++
	}
	return word
}
