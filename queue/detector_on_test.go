//go:build race

package queue_test

// raceDetector tells that it watches. It makes everything ten times as slow, and sees as much in fewer and smaller
// rounds of the same.
const raceDetector = true
