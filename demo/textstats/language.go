package textstats

import (
	"strings"
	"sync"
)

// stopWords are frequent words that carry little meaning, which a text of its
// language can hardly avoid. A word ending in an apostrophe is an elided one,
// as in l'eau.
var stopWords = map[string]string{
	"de": `der die das und ist nicht ein eine einen einem einer zu den dem des mit von auf für im sich auch es ich sie er wir wie dass aber oder
		nach bei aus noch nur werden wird war sind hat haben kann als an so vor über um wenn man zum zur durch mehr sein seine ihre`,
	"en": `the of and to in is that it was for on are as with his they be at this have from or had by but not what all were we when your can said
		there an each which she do how their if will about would these has been more than its who you he i a`,
	"es": `el la los las de que y en un una por con no para es se del al lo como más pero sus le ya o este sí porque esta entre cuando muy sin sobre
		también me hasta hay donde quien desde todo nos durante todos uno ni contra otros ese eso ante ellos su fue ser son está`,
	"fr": `le la les de des du et en un une que qui dans pour pas ne ce cette il elle nous vous ils est sont sur par avec au aux se plus mais ou où
		son sa ses leur été être fait comme tout même aussi je tu on y l' d' qu' n' s' c' j' m' jusqu' lorsqu'`,
	"it": `il lo la i gli le di che e è un una uno per con non si da in del della dei delle degli al alla ai alle nel nella nei sul sulla come più
		ma anche se sono ha questo questa o loro suo sua molto quando dove perché essere stato l' un' dell' all' nell' dall' sull' c'`,
	"nl": `de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij uit door naar ze wordt deze dit die heeft hebben werd
		was of nog wel wat over geen tot kan worden ik je hij zij wij haar hun zo meer moet veel`,
	"pt": `o a os as de que e do da dos das em um uma para com não por mais no na nos nas se é ao aos à às como mas foi ele ela seu sua ou ser
		quando muito há já está eu também só pelo pela até isso entre depois sem mesmo são tem você num numa`,
}

// evenShare is divisible by every number of languages that may share a word.
const evenShare = 420

type evidence struct {
	languages []string
	weight    int // for each of them: a word of one language alone says most
}

var evidenceByWord = sync.OnceValue(func() map[string]evidence {
	byWord := map[string]evidence{}
	for name, words := range stopWords {
		for _, word := range strings.Fields(words) {
			found := byWord[word]
			found.languages = append(found.languages, name)
			found.weight = evenShare / len(found.languages)
			byWord[word] = found
		}
	}
	return byWord
})

// language gives the most probable language of a text with these words, or
// "unknown" where the stop words are too few or two languages are too close.
func language(byWord map[string]int, words int) string {
	evidence, scores := evidenceByWord(), map[string]int{}
	for word, count := range byWord {
		found, ok := evidence[word]
		if !ok {
			const longestElided = 8
			at := strings.IndexByte(word[:min(len(word), longestElided)], '\'')
			if at < 0 {
				continue
			}
			found = evidence[word[:at+1]]
		}
		for _, name := range found.languages {
			scores[name] += count * found.weight
		}
	}
	best, second, name := 0, 0, "unknown"
	for candidate, score := range scores {
		switch {
		case score > best:
			best, second, name = score, best, candidate
		case score > second:
			second = score
		}
	}
	// At least two whole words' worth, one word in twelve, and a tenth ahead of the next.
	if best < 2*evenShare || best*12 < words*evenShare || best*10 < second*11 {
		return "unknown"
	}
	return name
}
