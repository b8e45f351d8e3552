package testserver

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"
)

// say sends a line to a Redis and returns the first line of its answer.
func say(t *testing.T, s *RedisServer, command string, wait time.Duration) (string, error) {
	t.Helper()
	c, err := net.Dial("tcp", parse(s.URL).Host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wait))
	if _, err := c.Write([]byte(command + "\r\n")); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

func TestRedisIsKilledAndStartsAgain(t *testing.T) {
	s := Redis(t)
	if answer, err := say(t, s, "SET a 1", time.Minute); answer != "+OK" {
		t.Errorf("SET: %q, %v", answer, err)
	}
	s.Kill()
	if answer, err := say(t, s, "PING", time.Minute); err == nil {
		t.Errorf("killed, it answers %q", answer)
	}
	s.Start()
	if answer, err := say(t, s, "GET a", time.Minute); answer != "$-1" {
		t.Errorf("GET: %q, %v; it writes nothing to disk", answer, err)
	}
}

func TestAPausedRedisAnswersWhenItResumes(t *testing.T) {
	s := Redis(t)
	s.Pause()
	if answer, err := say(t, s, "PING", 100*time.Millisecond); err == nil {
		t.Errorf("paused, it answers %q", answer)
	}
	s.Resume()
	if answer, err := say(t, s, "PING", time.Minute); answer != "+PONG" {
		t.Errorf("PING: %q, %v", answer, err)
	}
}

func TestRedisTakesArguments(t *testing.T) {
	s := Redis(t, "--requirepass", "secret", "--appendonly", "yes", "--appendfsync", "always")
	if answer, err := say(t, s, "PING", time.Minute); !strings.HasPrefix(answer, "-NOAUTH") {
		t.Errorf("PING: %q, %v", answer, err)
	}
	set := "AUTH secret\r\nSET a 1\r\nPING"
	if answer, err := say(t, s, set, time.Minute); answer != "+OK" {
		t.Errorf("AUTH: %q, %v", answer, err)
	}
	s.Kill()
	s.Start()
}
