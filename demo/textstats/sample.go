package textstats

import "encoding/json"

// Sample gives a short English text.
func Sample() string {
	return `The Miller's Tally

Before there were ledgers there were notches. A miller who ground corn for a whole valley could not
remember every sack, and a farmer who brought twelve did not care to pay for thirteen. So they took a
hazel stick, cut one notch for each sack, and split the stick from end to end. Each kept a half. When
the harvest was over they laid the halves together: if the notches met, the debt was true.

It is a clever thing, this stick. Nobody can add a notch to one half without the other; nobody can
lose a notch either. "What is cut, is cut," the miller used to say. The price was known before the
wheel turned, and what had been set aside for the work but was not used went back to the farmer.

How much did a good year cost? One autumn the stick showed 31 sacks at 2.5 pence, less the three that
came back wet... The miller did not argue. He laid the halves on the table, counted aloud, and charged
for 28.
`
}

// SampleInput is an input for [Analyse] with the text of [Sample].
func SampleInput() []byte {
	input, _ := json.Marshal(map[string]any{"text": Sample(), "top": defaultTop}) // of plain fields, so it cannot fail
	return input
}
