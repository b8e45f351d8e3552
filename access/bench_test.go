package access

import (
	"net/netip"
	"testing"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/store/sqlite"
)

func benchService(b *testing.B, opt Options) *Service {
	b.Helper()
	store, err := sqlite.Open(b.Context(), sqlite.Options{Path: b.TempDir() + "/tallygate.db"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return New(store, opt)
}

// keepFresh asks for news often enough, as Run does.
func keepFresh(b *testing.B, s *Service, i int) {
	if i&0xffff == 0 {
		if err := s.follow(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefuse(b *testing.B) {
	for name, text := range map[string]string{
		"junk":     "hunter2",
		"checksum": "tg_live_01jz0000000000000000000000_0123456789abcdefghjkmnpqrstvwxyz_000000",
		"unknown":  MakeUnknownKey(),
	} {
		for limit, opt := range map[string]Options{"unlimited": {}, "limited": {FailedAuth: rate(1, 10)}} {
			b.Run(name+"/"+limit, func(b *testing.B) {
				s := benchService(b, opt)
				header, ctx, i := bearer(text), b.Context(), 0
				b.ReportAllocs()
				for b.Loop() {
					keepFresh(b, s, i)
					i++
					if _, err := s.Authenticate(ctx, header, nil, here); err == nil {
						b.Fatal("accepted")
					}
				}
			})
		}
	}
	b.Run("junk/IPv6", func(b *testing.B) {
		s := benchService(b, Options{FailedAuth: rate(1, 10)})
		ctx, addr := b.Context(), netip.MustParseAddr("2001:db8:1:2:3:4:5:6")
		b.ReportAllocs()
		for b.Loop() {
			_, _ = s.Authenticate(ctx, []string{"Bearer hunter2"}, nil, addr)
		}
	})
}

func BenchmarkAuthenticateAndLimit(b *testing.B) {
	for name, own := range map[string]tallygate.RateLimit{"client": {}, "client and key": rate(1e6, 1e6)} {
		b.Run(name, func(b *testing.B) {
			s := benchService(b, Options{Limiter: ratelimit.NewMemory(1000), FailedAuth: rate(1, 10)})
			text, _, err := s.Bootstrap(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			operator, err := s.Authenticate(b.Context(), bearer(text), nil, here)
			if err != nil {
				b.Fatal(err)
			}
			var id tallygate.ClientID
			limits := tallygate.DefaultClientLimits
			limits.Rate = rate(1e6, 1e6)
			_, err = s.CreateClient(b.Context(), Mutation{Actor: operator}, NewClient{Name: "Acme", Limits: limits}, func(c *tallygate.Client) []byte {
				id = c.ID
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			effect, err := s.CreateKey(b.Context(), Mutation{Actor: operator}, id, NewKey{Permissions: []string{"preset:full"}, Rate: own},
				func(_ *tallygate.APIKey, text string) []byte { return []byte(text) })
			if err != nil {
				b.Fatal(err)
			}
			header, ctx, i := bearer(string(effect.Body)), b.Context(), 0
			b.ReportAllocs()
			for b.Loop() {
				keepFresh(b, s, i)
				i++
				c, err := s.Authenticate(ctx, header, nil, here)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Limit(ctx, c, 1); err != nil && !tallygate.IsCode(err, tallygate.RateLimitExceeded) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLookUp(b *testing.B) {
	s := benchService(b, Options{})
	ctx := b.Context()
	id, _, _ := ParseKey(MakeUnknownKey())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.lookUp(ctx, id); err != nil {
			b.Fatal(err)
		}
	}
}
