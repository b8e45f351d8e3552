package access

import (
	"context"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// tried reports whether the guarded store let a write and a read under the context come to pass.
func (h *house) tried(ctx context.Context) (wrote, read bool, err error) {
	h.Helper()
	store := h.service.Guard(h.store)
	err = store.Update(ctx, func(tallygate.Tx) error { wrote = true; return nil })
	if viewErr := store.View(ctx, func(tallygate.Tx) error { read = true; return nil }); err == nil {
		err = viewErr
	}
	return wrote, read, err
}

func TestGuardRefusesWhatACallerNoLongerMay(t *testing.T) {
	for name, c := range map[string]struct {
		lose func(h *house, k *tallygate.APIKey) error
		code tallygate.Code
	}{
		"revoked":   {func(h *house, k *tallygate.APIKey) error { return h.revoke(h.operator, k) }, tallygate.RevokedAPIKey},
		"suspended": {func(h *house, k *tallygate.APIKey) error { return h.suspend(k.ClientID) }, tallygate.SuspendedAccount},
		"expired":   {func(h *house, k *tallygate.APIKey) error { h.clock.pass(time.Hour); return nil }, tallygate.ExpiredAPIKey},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			k, text := h.key(h.client("Acme").ID, NewKey{ExpiresAt: in(time.Hour)})
			ctx := WithCaller(t.Context(), h.caller(text))
			if wrote, read, err := h.tried(Parked(ctx)); !wrote || !read || err != nil {
				t.Fatalf("before: wrote %v, read %v, %v", wrote, read, err)
			}
			h.must(c.lose(h, k))
			wrote, read, err := h.tried(ctx)
			wantCode(t, err, c.code)
			if !Refused(err) || Refused(errClientNotFound) || Refused(nil) {
				t.Errorf("%v is told apart wrongly", err)
			}
			if wrote || !read {
				t.Errorf("wrote %v, read %v", wrote, read)
			}
			if wrote, read, err = h.tried(Parked(ctx)); wrote || read {
				t.Errorf("parked: wrote %v, read %v", wrote, read)
			}
			wantCode(t, err, c.code)
			if wrote, read, err = h.tried(Parked(WithCaller(ctx, nil))); !wrote || !read || err != nil {
				t.Errorf("the server itself: wrote %v, read %v, %v", wrote, read, err)
			}
		})
	}
}
