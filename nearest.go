package tallygate

// Nearest returns the candidate that is at most a third of its length away from word in single edits (Levenshtein,
// 1966), or an empty string.
func Nearest(word string, candidates []string) string {
	best, least := "", 0
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		d := distance(word, c)
		if d <= (len(c)+2)/3 && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
