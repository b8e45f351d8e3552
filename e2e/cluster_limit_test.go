package e2e

import (
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/testserver"
)

// TestNodesAdmitOneLimitTogether has a client call twice as often as it may, at three nodes at random. In the long form,
// over a minute, what is admitted is the limit, within 2 % with Redis and within 10 % by the nodes' shares; in the short
// one, which a slow machine may not offer enough, it is no more, and most of what was offered within the limit.
func TestNodesAdmitOneLimitTogether(t *testing.T) {
	t.Parallel()
	const perSecond, burst = 100, 100
	for name, c := range map[string]struct {
		config func(*testing.T) string
		off    float64
	}{
		"redis":  {func(t *testing.T) string { return "limiter: " + testserver.Redis(t).URL + "\n" }, 0.02},
		"shares": {func(*testing.T) string { return "" }, 0.10},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := newCluster(t, 3, setup{config: c.config(t)})
			nodes.settled()
			client := nodes.nodes[0].newClient(t, "", object{"limits": object{"requests_per_second": perSecond, "burst": burst}})
			var admitted, refused atomic.Int64
			var calls sync.WaitGroup
			begin, span := time.Now(), either(5*time.Second, time.Minute)
			next := time.NewTicker(time.Second / (2 * perSecond))
			defer next.Stop()
			for time.Since(begin) < span {
				<-next.C
				calls.Go(func() {
					switch a, err := client.at(nodes.nodes[rand.IntN(3)]).try(http.MethodGet, "/v1/account", nil); {
					case err == nil && a.status == http.StatusOK:
						admitted.Add(1)
					case err == nil && a.status == http.StatusTooManyRequests:
						refused.Add(1)
					default:
						t.Errorf("%s, %v", a, err)
					}
				})
			}
			calls.Wait()
			due := burst + perSecond*time.Since(begin).Seconds()
			t.Logf("%d admitted, %d refused, where %.0f were due", admitted.Load(), refused.Load(), due)
			if most := due * (1 + c.off); float64(admitted.Load()) > most {
				t.Errorf("%d admitted, want at most %.0f", admitted.Load(), most)
			}
			least := 0.7 * min(due, float64(admitted.Load()+refused.Load()))
			if long() {
				least = due * (1 - c.off)
			}
			if float64(admitted.Load()) < least {
				t.Errorf("%d admitted, want at least %.0f", admitted.Load(), least)
			}
		})
	}
}
