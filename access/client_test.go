package access

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tallygate/tallygate"
)

func nameOf(c *tallygate.Client) []byte { return []byte(c.Name) }

func TestCreateClient(t *testing.T) {
	h := newHouse(t)
	effect, err := h.service.CreateClient(t.Context(), h.as(h.operator), NewClient{Name: "Acme", Currency: "USD", MinimumBalance: -5}, nameOf)
	h.must(err)
	if string(effect.Body) != "Acme" || effect.Replayed {
		t.Errorf("the effect is %q, %v", effect.Body, effect.Replayed)
	}
	clients, err := h.service.Clients(t.Context(), tallygate.Page{Limit: 10})
	h.must(err)
	if len(clients) != 2 || clients[0].Name != "Acme" || clients[1].ID != tallygate.OperatorClientID {
		t.Fatalf("the clients are %v", clients)
	}
	c := clients[0]
	if !tallygate.ValidID(tallygate.ClientPrefix, string(c.ID)) || c.Status != tallygate.ClientActive || c.Operator ||
		c.Limits != tallygate.DefaultClientLimits || c.MinimumBalance != -5 || string(c.Metadata) != "{}" ||
		!c.CreatedAt.Equal(noon) || c.Revision != h.revision() {
		t.Errorf("the client is %+v", c)
	}
	if again, err := h.service.Client(t.Context(), c.ID); err != nil || again.Name != "Acme" {
		t.Errorf("read alone: %+v, %v", again, err)
	}
	if next, err := h.service.Clients(t.Context(), tallygate.Page{After: string(c.ID), Limit: 10}); err != nil || len(next) != 1 {
		t.Errorf("the next page: %v, %v", next, err)
	}
	_, err = h.service.Clients(t.Context(), tallygate.Page{After: "cl_x", Limit: 10})
	wantCode(t, err, tallygate.InvalidParameter, "cursor")
	for _, id := range []tallygate.ClientID{"", "cl_x", "key_01jz0000000000000000000000", "cl_01jz0000000000000000000000"} {
		_, err := h.service.Client(t.Context(), id)
		wantCode(t, err, tallygate.ClientNotFound)
	}
	events := h.events(string(c.ID))
	if len(events) != 1 || events[0].Kind != tallygate.EventClientCreated || events[0].Actor != h.operator.Key.ID || string(events[0].Data) != `{"name":"Acme"}` {
		t.Errorf("the events are %+v", events)
	}
}

func TestCreateClientRefusesAllFaultsAtOnce(t *testing.T) {
	h := newHouse(t)
	limits := tallygate.DefaultClientLimits
	limits.Rate = rate(0.0001, 0)
	limits.RunningJobs = -1
	before := h.revision()
	create := func(in NewClient) error {
		_, err := h.service.CreateClient(t.Context(), h.as(h.operator), in, nameOf)
		return err
	}
	wantCode(t, create(NewClient{Limits: limits}), tallygate.MissingParameter, "name")
	wantCode(t, create(NewClient{Name: " "}), tallygate.MissingParameter, "name")
	wantCode(t, create(NewClient{Name: "A\x00", Currency: "EUR", Limits: limits, Metadata: []byte("[]")}), tallygate.InvalidParameter,
		"name: ", "currency: ", "USD", "limits.requests_per_second: ", "limits.burst: ", "limits.running_jobs: ", "metadata: ")
	wantCode(t, create(NewClient{Name: strings.Repeat("ä", 201)}), tallygate.InvalidParameter, "200")
	h.must(create(NewClient{Name: strings.Repeat("ä", 200)}))
	wantCode(t, create(NewClient{Name: "A", Metadata: []byte("null")}), tallygate.InvalidParameter, "metadata")
	wantCode(t, create(NewClient{Name: "A", Metadata: []byte(`{"a":"` + strings.Repeat("b", largestMetadata) + `"}`)}), tallygate.InvalidParameter, "metadata")
	limits = tallygate.DefaultClientLimits
	limits.Rate.PerSecond = 0.0015
	wantCode(t, create(NewClient{Name: "A", Limits: limits}), tallygate.InvalidParameter, "decimals")
	if h.revision() != before+1 {
		t.Error("a refusal raised the revision")
	}
}

func TestPatchClient(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	before := h.revision()
	patch := func(change ClientChange) error {
		_, err := h.service.PatchClient(t.Context(), h.as(h.operator), c.ID, change, nameOf)
		return err
	}
	h.must(patch(ClientChange{}))
	h.must(patch(ClientChange{Name: ptr("Acme"), MinimumBalance: ptr(tallygate.Money(0)), Metadata: []byte("{}"), Limits: LimitsChange{Burst: ptr(int64(100))}}))
	if h.revision() != before || len(h.events(string(c.ID))) != 1 {
		t.Error("a patch that changes nothing raised the revision or was told of")
	}
	h.must(patch(ClientChange{
		Name:           ptr("Acme 2"),
		MinimumBalance: ptr(tallygate.Money(-1_000_000)),
		Limits:         LimitsChange{PerSecond: ptr(0.5), RunningJobs: ptr(int64(0))},
		Metadata:       []byte(`{"tier": "gold"}`),
	}))
	got, err := h.service.Client(t.Context(), c.ID)
	h.must(err)
	want := tallygate.ClientLimits{Rate: rate(0.5, 100), RunningJobs: 0, QueuedJobs: 100_000}
	if got.Name != "Acme 2" || got.MinimumBalance != -1_000_000 || got.Limits != want || string(got.Metadata) != `{"tier": "gold"}` || got.Revision != before+1 || h.revision() != before+1 {
		t.Errorf("the client is %+v", got)
	}
	events := h.events(string(c.ID))
	told := `{"limits":{"burst":100,"queued_jobs":100000,"requests_per_second":0.5,"running_jobs":0},"metadata":{"tier":"gold"},"minimum_balance":"-1.00","name":"Acme 2"}`
	if last := events[len(events)-1]; last.Kind != tallygate.EventClientUpdated || string(last.Data) != told || last.Actor != h.operator.Key.ID {
		t.Errorf("told: %s %s", last.Kind, last.Data)
	}

	wantCode(t, patch(ClientChange{Name: ptr("")}), tallygate.InvalidParameter, "name")
	wantCode(t, patch(ClientChange{Limits: LimitsChange{Burst: ptr(int64(0))}}), tallygate.InvalidParameter, "limits.burst")
	wantCode(t, patch(ClientChange{Metadata: []byte("1")}), tallygate.InvalidParameter, "metadata")
	_, err = h.service.PatchClient(t.Context(), h.as(h.operator), "cl_x", ClientChange{}, nameOf)
	wantCode(t, err, tallygate.ClientNotFound)
}

func TestSuspendAndActivateAreIdempotent(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	status := func(c *tallygate.Client) []byte { return []byte(c.Status) }
	before := h.revision()
	for _, step := range []struct {
		do       func() (Effect, error)
		status   tallygate.ClientStatus
		revision int64
	}{
		{func() (Effect, error) { return h.service.ActivateClient(t.Context(), h.as(h.operator), c.ID, status) }, "active", before},
		{func() (Effect, error) { return h.service.SuspendClient(t.Context(), h.as(h.operator), c.ID, status) }, "suspended", before + 1},
		{func() (Effect, error) { return h.service.SuspendClient(t.Context(), h.as(h.operator), c.ID, status) }, "suspended", before + 1},
		{func() (Effect, error) { return h.service.ActivateClient(t.Context(), h.as(h.operator), c.ID, status) }, "active", before + 2},
	} {
		effect, err := step.do()
		h.must(err)
		if string(effect.Body) != string(step.status) || h.revision() != step.revision {
			t.Errorf("%s at revision %d, want %s at %d", effect.Body, h.revision(), step.status, step.revision)
		}
	}
	var kinds []string
	for _, e := range h.events(string(c.ID)) {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "client.created client.suspended client.activated" {
		t.Errorf("told: %s", got)
	}
	wantCode(t, h.suspend(tallygate.OperatorClientID), tallygate.InvalidRequest, "operator")
	wantCode(t, h.suspend("cl_01jz0000000000000000000000"), tallygate.ClientNotFound)
}

func TestClientsKeysChangeNoClients(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	_, text := h.key(c.ID, NewKey{})
	m := h.as(h.caller(text))
	_, err := h.service.CreateClient(t.Context(), m, NewClient{Name: "Mine"}, nameOf)
	wantCode(t, err, tallygate.AuthorizationFailed)
	_, err = h.service.PatchClient(t.Context(), m, c.ID, ClientChange{Name: ptr("Mine")}, nameOf)
	wantCode(t, err, tallygate.AuthorizationFailed)
	_, err = h.service.SuspendClient(t.Context(), m, c.ID, nameOf)
	wantCode(t, err, tallygate.AuthorizationFailed)
	_, err = h.service.ActivateClient(t.Context(), m, c.ID, nameOf)
	wantCode(t, err, tallygate.AuthorizationFailed)
}

func TestEffectsAreRememberedUnderTheirKey(t *testing.T) {
	h := newHouse(t)
	one := Mutation{Actor: h.operator, Idempotency: tallygate.Idempotency{Key: "once", RequestHash: [32]byte{1}}}
	two := Mutation{Actor: h.operator, Idempotency: tallygate.Idempotency{Key: "once", RequestHash: [32]byte{2}}}
	id := func(c *tallygate.Client) []byte { return []byte(c.ID) }

	_, err := h.service.CreateClient(t.Context(), one, NewClient{}, id)
	wantCode(t, err, tallygate.MissingParameter) // a refusal leaves the key free
	first, err := h.service.CreateClient(t.Context(), two, NewClient{Name: "Acme"}, id)
	h.must(err)
	again, err := h.service.CreateClient(t.Context(), two, NewClient{Name: "Acme"}, id)
	h.must(err)
	if first.Replayed || !again.Replayed || !bytes.Equal(first.Body, again.Body) {
		t.Errorf("%s, %v and then %s, %v", first.Body, first.Replayed, again.Body, again.Replayed)
	}
	_, err = h.service.CreateClient(t.Context(), one, NewClient{Name: "Another"}, id)
	wantCode(t, err, tallygate.InvalidParameter, "Idempotency-Key")
	if field := tallygate.AsError(err).Field; field != "Idempotency-Key" {
		t.Errorf("the field is %q", field)
	}
	if clients, _ := h.service.Clients(t.Context(), tallygate.Page{Limit: 10}); len(clients) != 2 {
		t.Errorf("there are %d clients, want the operator and one", len(clients))
	}
}

// Who lost the right between authentication and the write does not get it done.
func TestChangesRecheckTheirActor(t *testing.T) {
	h := newHouse(t)
	k, text := h.key(tallygate.OperatorClientID, NewKey{Permissions: []string{"preset:operator"}})
	actor := h.caller(text)
	h.must(h.revoke(h.operator, k))
	_, err := h.service.CreateClient(t.Context(), h.as(actor), NewClient{Name: "Acme"}, nameOf)
	wantCode(t, err, tallygate.RevokedAPIKey)
}
