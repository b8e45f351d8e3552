package testserver

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestASynchronousStandbyHasEveryCommitAndTakesOver(t *testing.T) {
	primary := NewPostgres(t, PostgresOptions{})
	url := primary.Database(t)
	ask(t, url, "CREATE TABLE kept (n int)")
	standby := primary.Standby(t, true)
	ask(t, url, "INSERT INTO kept VALUES (1)")
	primary.Kill()
	standby.Promote()
	both := MultiHostURL(url, standby.URL())
	ask(t, both, "INSERT INTO kept VALUES (2)") // the promoted one waits for no standby
	if n := ask(t, both, "SELECT count(*) FROM kept"); n != "2" {
		t.Errorf("the standby has %s rows of 2", n)
	}
	third := standby.Standby(t, false)
	if in := ask(t, third.URL(), "SELECT pg_is_in_recovery()"); in != "t" {
		t.Error("the standby of the promoted server is none")
	}
}

func TestCommitsWaitForASynchronousStandby(t *testing.T) {
	primary := NewPostgres(t, PostgresOptions{})
	ask(t, primary.URL(), "CREATE TABLE kept (n int)")
	t.Run("with its standby killed", func(t *testing.T) {
		standby := primary.Standby(t, true)
		standby.Kill()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := query(ctx, primary.URL(), "INSERT INTO kept VALUES (1)"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a commit without the standby: %v", err)
		}
		standby.Start()
		ask(t, primary.URL(), "INSERT INTO kept VALUES (1)")
	})
	ask(t, primary.URL(), "INSERT INTO kept VALUES (1)") // the standby is gone, and nobody waits for it
}

func TestAnAsynchronousStandbyFollows(t *testing.T) {
	primary := NewPostgres(t, PostgresOptions{})
	standby := primary.Standby(t, false)
	url := primary.Database(t)
	ask(t, url, "CREATE TABLE kept (n int)")
	copied := withHost(url, parse(standby.URL()).Host)
	err := await(t.Context(), nil, func(ctx context.Context) error {
		_, err := query(ctx, copied, "SELECT count(*) FROM kept")
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestAMultiHostURLNamesAllHosts(t *testing.T) {
	got := MultiHostURL("postgres://me:secret@127.0.0.1:1/mine?sslmode=disable", "postgres://you@127.0.0.1:2/yours", "postgres://[::1]:3")
	if want := "postgres://me:secret@127.0.0.1:1,127.0.0.1:2,[::1]:3/mine?sslmode=disable&target_session_attrs=read-write"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
