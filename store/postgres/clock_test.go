package postgres

import (
	"testing"
	"time"
)

// aside is a node's own clock under the test's hand.
type aside struct{ now time.Time }

func (a *aside) Now() time.Time { return a.now }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestClockIsTheDatabasesWhateverTheNodesOwnSays(t *testing.T) {
	for _, off := range []time.Duration{0, 30 * time.Second, -30 * time.Second, -24 * time.Hour} {
		own := &aside{noon.Add(off)}
		c := newClock(own.Now)
		asked := c.elapsed()
		own.now = own.now.Add(2 * time.Millisecond)
		c.heard(noon.Add(time.Millisecond).UnixMicro(), asked)
		if now := c.now(); !now.Equal(noon.Add(2 * time.Millisecond)) {
			t.Errorf("off by %v: it is %v", off, now)
		}
		own.now = own.now.Add(time.Hour)
		if now := c.now(); !now.Equal(noon.Add(time.Hour + 2*time.Millisecond)) {
			t.Errorf("off by %v: an hour later it is %v", off, now)
		}
	}
}

// TestClockIsNotSetBackByAnAnswerThatLay: a process that stood still between the question and the reading of the answer
// must not believe that it is still the time of the answer, or it would believe what it knows of keys for as long.
func TestClockIsNotSetBackByAnAnswerThatLay(t *testing.T) {
	own := &aside{noon}
	c := newClock(own.Now)
	c.heard(noon.UnixMicro(), c.elapsed())
	asked := c.elapsed()
	own.now = own.now.Add(time.Minute)
	c.heard(noon.Add(time.Millisecond).UnixMicro(), asked)
	if now := c.now(); !now.Equal(noon.Add(time.Minute)) {
		t.Errorf("a minute later it is %v", now)
	}
}

func TestClockFollowsTheDatabases(t *testing.T) {
	own := &aside{noon}
	c := newClock(own.Now)
	for _, set := range []time.Duration{0, 30 * time.Second, -30 * time.Second} { // such as by a failover to a machine with another
		c.heard(noon.Add(set).UnixMicro(), c.elapsed())
		if now := c.now(); !now.Equal(noon.Add(set)) {
			t.Errorf("set by %v it is %v", set, now)
		}
	}
}
