package api

import (
	"net/url"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

func TestCursorsAreGoodForOneList(t *testing.T) {
	const mark = "job_01kg9ys7g0e9yv90gmav392bf9"
	cursor := encodeCursor(jobList, "acme", mark)
	if after, ok := decodeCursor(jobList, "acme", cursor); after != mark || !ok {
		t.Errorf("%q, %t", after, ok)
	}
	for name, ok := range map[string]bool{
		"another list":       second(decodeCursor(keyList, "acme", cursor)),
		"another scope":      second(decodeCursor(jobList, "globex", cursor)),
		"cut off":            second(decodeCursor(jobList, "acme", cursor[:len(cursor)-2])),
		"padded":             second(decodeCursor(jobList, "acme", cursor+"=")),
		"broken into lines":  second(decodeCursor(jobList, "acme", cursor[:4]+"\n"+cursor[4:])),
		"no mark of its own": second(decodeCursor(entryList, "", encodeCursor(entryList, "", "x"))),
		"nothing":            second(decodeCursor(jobList, "acme", "")),
	} {
		if ok {
			t.Errorf("%s is taken", name)
		}
	}
	if encodeCursor(jobList, "acme", "") != "" {
		t.Error("a last page has a cursor")
	}
}

func second(_ string, ok bool) bool { return ok }

func FuzzCursor(f *testing.F) {
	for _, l := range []list{jobList, entryList, keyList, clientList, auditList, typeList} {
		f.Add(byte(l), "scope", encodeCursor(l, "scope", "17"))
		f.Add(byte(l), "", encodeCursor(l, "", "key_01kg9ys7g0e9yv90gmav392bf9"))
	}
	f.Add(byte('j'), "", "====")
	f.Fuzz(func(t *testing.T, letter byte, scope, cursor string) {
		after, ok := decodeCursor(list(letter), scope, cursor)
		if !ok {
			return
		}
		if again := encodeCursor(list(letter), scope, after); again != cursor {
			t.Errorf("%q stands for %q, whose cursor is %q", cursor, after, again)
		}
	})
}

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"", "limit=5", "limit=5&limit=6", "a=b&&c", "metadata[order]=17&metadata[x]=y", "metadata[]=", "limit=%zz", "a;b=c", "wait=30s&x",
		"created_after=2026-01-31T12:00:00Z", "from=2026-01-31", "%6cimit=5", "a=+b", "=", "&=&",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var found faults
		q := parseQuery(&found, raw)
		if values, err := url.ParseQuery(raw); err == nil && !found.any() {
			if len(values) != len(q.parameters) {
				t.Fatalf("%d parameters, not %d", len(q.parameters), len(values))
			}
			for _, p := range q.parameters {
				if got := values[p.name]; len(got) != 1 || got[0] != p.value {
					t.Errorf("%q is %q, not %q", p.name, p.value, got)
				}
			}
		} else if err != nil && !found.any() {
			t.Errorf("%q is taken, although %v", raw, err)
		}
		page := q.page(jobList, "")
		if page.Limit < 1 || page.Limit > maxPage {
			t.Errorf("limit %d", page.Limit)
		}
		if d := q.duration("wait", 0, time.Minute); d < 0 || d > time.Minute {
			t.Errorf("wait %s", d)
		}
		q.time("created_after")
		q.day("from", time.Time{})
		q.id("client_id", tallygate.ClientPrefix)
		q.members("metadata")
		q.done()
		for i := range q.parameters {
			if p := q.parameters[i]; !p.known && !found.any() {
				t.Errorf("%q is unknown, and nobody says so", p.name)
			}
		}
	})
}
