package bench

import (
	"encoding/json"
	"testing"
)

func TestScanLeasesReadsAnyOrder(t *testing.T) {
	body := []byte(`{"results":[{"job_id":"job_9","ok":true},{"job_id":"job_8","error":{"code":"INVALID_REQUEST","message":"no \"lease\" [}"}}],
		"other":[1,{"leases":[]}],
		"leases":[
			{"token":"t1","attempt":1,"expires_at":"x","job":{"id":"job_1","input":{"text":"a","n":"0000000007"},"receipt":{"units":{}}}},
			{"job":{"metadata":{"id":"no"},"input":null,"id":"job_2"} , "token" : "t2"}
		]}`)
	leases, settled, refused, err := scanLeases(body, nil)
	if err != nil {
		t.Fatal(err)
	}
	if settled != 1 || refused != 1 {
		t.Errorf("%d settled and %d refused, want one of each", settled, refused)
	}
	if len(leases) != 2 {
		t.Fatalf("%d leases, want 2", len(leases))
	}
	if l := leases[0]; string(l.token) != "t1" || string(l.job) != "job_1" || string(l.n) != "0000000007" {
		t.Errorf("first lease: %s %s %s", l.token, l.job, l.n)
	}
	if l := leases[1]; string(l.token) != "t2" || string(l.job) != "job_2" || l.n != nil {
		t.Errorf("second lease: %s %s %s", l.token, l.job, l.n)
	}
}

func TestScanLeasesRefusesWhatItCannotRead(t *testing.T) {
	for _, body := range []string{
		``, `{`, `{"leases":[`, `{"leases":[{"token":"t"}]}`, `{"leases":[{"token":"t","job":{"id":"job`,
		`{"leases" [] }`, `{"a":}`, `{"a":1 "b":2}`,
	} {
		if _, _, _, err := scanLeases([]byte(body), nil); err == nil {
			t.Errorf("%s: no error", body)
		}
	}
}

// Whatever encoding/json takes for an answer, the scanner reads alike.
func FuzzScanLeases(f *testing.F) {
	f.Add([]byte(`{"leases":[{"token":"t","job":{"id":"job_1","input":{"n":"1"}}}]}`))
	f.Add([]byte(`{"leases":[],"results":[{"ok":true},{"ok":false},{"error":{}}]}`))
	f.Add([]byte(`{"leases":null,"a":"\"}]"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		leases, settled, refused, err := scanLeases(body, nil)
		var want map[string]json.RawMessage
		if json.Unmarshal(body, &want) != nil || want == nil || err != nil {
			return
		}
		// Repeated and empty names are where a scanner and a map must differ.
		var list []struct {
			Token *string
			Job   *struct{ ID *string }
		}
		if len(want) != countKeys(body) || json.Unmarshal(want["leases"], &list) != nil {
			return
		}
		if len(list) != len(leases) {
			t.Errorf("%q: %d leases, encoding/json reads %d", body, len(leases), len(list))
		}
		var results []json.RawMessage
		if json.Unmarshal(want["results"], &results) == nil && len(results) != settled+refused {
			t.Errorf("%q: %d results, encoding/json reads %d", body, settled+refused, len(results))
		}
	})
}

func countKeys(body []byte) int {
	s, n := scanner{text: body}, 0
	for _, ok := s.key(true); ok; _, ok = s.key(false) {
		s.skip()
		n++
	}
	return n
}
