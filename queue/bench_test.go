package queue_test

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// processorTime reports what an operation costs in processor time, which moves less than the clock on a busy machine.
func processorTime(b *testing.B) (report func()) {
	used := func() float64 {
		var r syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e3
	}
	from := used()
	return func() { b.ReportMetric((used()-from)/float64(b.N), "cpu-µs/op") }
}

func BenchmarkSubmit(b *testing.B) {
	w := newWorld(b, time.Now, queue.Options{})
	w.jobType("bench.noop", nil)
	c := w.client("1000000.00", func(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} })
	input := []byte(`{"text":"` + strings.Repeat("x", 280) + `"}`)
	b.SetParallelism(32)
	defer processorTime(b)()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, _, err := w.queue.Submit(context.Background(), submission(c, queue.Submission{Type: "bench.noop", Input: input, Metadata: []byte("{}")})); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDrain(b *testing.B) {
	w := newWorld(b, time.Now, queue.Options{})
	w.jobType("bench.noop", nil)
	c := w.client("1000000.00", func(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} })
	batch := make([]queue.Submission, 1000)
	for i := range batch {
		batch[i] = queue.Submission{Type: "bench.noop", Input: []byte(`{}`), Metadata: []byte("{}")}
	}
	for range b.N/1000 + 1 {
		if _, _, err := w.queue.Submit(context.Background(), submission(c, batch...)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	defer processorTime(b)()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			var reports []queue.Report
			for {
				_, leases, err := w.queue.Report(context.Background(), reports, &queue.LeaseRequest{Types: []string{"bench.noop"}, Max: 100})
				if err != nil {
					b.Error(err)
					return
				}
				if len(leases) == 0 {
					return
				}
				reports = reports[:0]
				for _, l := range leases {
					reports = append(reports, queue.Report{JobID: l.Job.ID, Token: l.Token, Outcome: queue.Succeeded, Result: []byte("{}")})
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkSingle(b *testing.B) {
	w := newWorld(b, time.Now, queue.Options{})
	w.jobType("bench.noop", nil)
	c := w.client("1000000.00", func(c *tallygate.Client) { c.Limits = tallygate.ClientLimits{} })
	defer processorTime(b)()
	for b.Loop() {
		if _, _, err := w.queue.Submit(context.Background(), submission(c, queue.Submission{Type: "bench.noop", Input: []byte(`{}`), Metadata: []byte("{}")})); err != nil {
			b.Fatal(err)
		}
	}
}
