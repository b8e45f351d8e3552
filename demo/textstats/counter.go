package textstats

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// counter walks once over a text.
type counter struct {
	text string
	next int // the byte to look at

	words, wordRunes, lines, sentences int
	byWord                             map[string]int // in lower case
	longest                            string
	longestRunes                       int

	lastWord     string // of the sentence that is open, else ""
	lineIsFilled bool   // something else than space stands in the line that is open
}

func newCounter(text string) *counter {
	return &counter{text: text, byWord: map[string]int{}}
}

func (c *counter) done() bool { return c.next >= len(c.text) }

// advance looks at about n bytes more; a word is never cut.
func (c *counter) advance(n int) {
	for stop := c.next + n; c.next < min(stop, len(c.text)); {
		r, size := c.runeAt(c.next)
		switch {
		case isWordRune(r):
			c.lineIsFilled = true
			c.takeWord()
		case r == '\n' || r == '\r':
			c.next += size
			if r == '\r' && strings.HasPrefix(c.text[c.next:], "\n") {
				c.next++
			}
			c.endLine()
		case isTerminator(r):
			c.lineIsFilled = true
			c.takeTerminator()
		default:
			c.lineIsFilled = c.lineIsFilled || !unicode.IsSpace(r)
			c.next += size
		}
	}
}

// finish closes the last line and the last sentence.
func (c *counter) finish() {
	if c.text != "" && !strings.HasSuffix(c.text, "\n") && !strings.HasSuffix(c.text, "\r") {
		c.lines++
	}
	c.endSentence()
}

func (c *counter) runeAt(i int) (rune, int) {
	if i < len(c.text) && c.text[i] < utf8.RuneSelf {
		return rune(c.text[i]), 1
	}
	return utf8.DecodeRuneInString(c.text[i:])
}

func (c *counter) endLine() {
	c.lines++
	if !c.lineIsFilled {
		c.endSentence() // a blank line ends a heading or a list too
	}
	c.lineIsFilled = false
}

// endSentence counts the sentence that is open, if it has a word.
func (c *counter) endSentence() {
	if c.lastWord != "" {
		c.sentences++
		c.lastWord = ""
	}
}

// takeWord reads a run of letters, marks and digits. Apostrophes hold letters
// together, points and commas digits. An ideograph or a hiragana is a word.
func (c *counter) takeWord() {
	start, runes := c.next, 0
	var last rune
	for c.next < len(c.text) {
		r, size := c.runeAt(c.next)
		if isOwnWord(r) && runes > 0 {
			break
		}
		if !isWordRune(r) && !(runes > 0 && isMark(r)) {
			after, _ := c.runeAt(c.next + size)
			if !holds(last, r, after) {
				break
			}
		}
		c.next += size
		last = r
		if runes++; isOwnWord(r) {
			for c.next < len(c.text) {
				mark, size := c.runeAt(c.next)
				if !isMark(mark) {
					break
				}
				c.next += size
				runes++
			}
			break
		}
	}

	word := c.text[start:c.next]
	c.words++
	c.wordRunes += runes
	if runes > c.longestRunes {
		c.longest, c.longestRunes = word, runes
	}
	c.lastWord = word
	c.byWord[strings.ReplaceAll(strings.ToLower(word), "’", "'")]++
}

// holds says whether r stands inside a word, between before and after.
func holds(before, r, after rune) bool {
	switch r {
	case '\'', '’':
		return unicode.IsLetter(before) && unicode.IsLetter(after) && !isOwnWord(after)
	case '.', ',':
		return unicode.IsDigit(before) && unicode.IsDigit(after)
	case '\u00ad', '\u200c', '\u200d': // soft hyphen, zero-width non-joiner and joiner
		return isWordRune(after) && !isOwnWord(after)
	}
	return false
}

func isWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}

func isMark(r rune) bool { return r >= utf8.RuneSelf && unicode.IsMark(r) }

// isOwnWord is true of scripts that put no space between words.
func isOwnWord(r rune) bool {
	return r >= 0x2e80 && unicode.In(r, unicode.Han, unicode.Hiragana)
}

func isTerminator(r rune) bool {
	switch r {
	case '.', '!', '?', '…', '‼', '⁇', '⁈', '⁉', '؟', '۔', '।', '॥', '።', '։':
		return true
	}
	return needsNoSpace(r)
}

// needsNoSpace is true of the terminators after which a sentence may go on at once.
func needsNoSpace(r rune) bool {
	switch r {
	case '。', '！', '？', '｡':
		return true
	}
	return false
}

func isCloser(r rune) bool {
	switch r {
	case '"', '\'', '*', '_':
		return true
	}
	return unicode.In(r, unicode.Pe, unicode.Pf) || r == '“' // which closes in German
}

// takeTerminator reads a run of terminators and the quotes and brackets that
// close behind it, and ends the sentence there unless the point belongs to an
// abbreviation, an initial or a number.
func (c *counter) takeTerminator() {
	word, points, others, wide := c.lastWord, 0, 0, false
	directly := word != "" && strings.HasSuffix(c.text[:c.next], word)
	for c.next < len(c.text) {
		r, size := c.runeAt(c.next)
		if !isTerminator(r) {
			break
		}
		switch c.next += size; r {
		case '.':
			points++
		case '…':
			points += 3
		default:
			others++
		}
		wide = wide || needsNoSpace(r)
	}
	for c.next < len(c.text) {
		r, size := c.runeAt(c.next)
		if !isCloser(r) {
			break
		}
		c.next += size
	}
	if c.done() {
		c.endSentence()
		return
	}
	after, _ := c.runeAt(c.next)
	if !wide && !unicode.IsSpace(after) {
		return
	}
	if others == 0 {
		if points == 1 && directly && isAbbreviation(word) || c.goesOnInLowerCase() {
			return
		}
	}
	c.endSentence()
}

// goesOnInLowerCase looks past the spaces, though not past a blank line.
func (c *counter) goesOnInLowerCase() bool {
	breaks := 0
	for i := c.next; i < len(c.text); {
		r, size := c.runeAt(i)
		if !unicode.IsSpace(r) {
			return unicode.IsLower(r)
		}
		if r == '\n' {
			if breaks++; breaks == 2 {
				return false
			}
		}
		i += size
	}
	return false
}

// isAbbreviation is true of an initial and of words that a point follows
// within a sentence.
func isAbbreviation(word string) bool {
	if r, size := utf8.DecodeRuneInString(word); size == len(word) {
		// "I." at an end is rarer than an initial, a digit there is not.
		return unicode.IsUpper(r)
	}
	switch strings.ToLower(word) {
	case "mr", "mrs", "ms", "dr", "prof", "st", "vs", "fig", "approx",
		"bzw", "ca", "nr", "vgl",
		"mme", "mlle", "sr", "sra", "srta", "sig", "dott", "dhr", "mevr", "bijv":
		return true
	}
	return false
}
