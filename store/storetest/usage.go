package storetest

import (
	"time"

	"github.com/tallygate/tallygate"
)

var usageCases = []testCase{
	{"usage adds up by day and type, within one transaction and over many", func(f *fixture) {
		midnight := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		ended := func(c tallygate.ClientID, jobType string, status tallygate.JobStatus, at time.Time, charged tallygate.Money) *tallygate.Outcome {
			return &tallygate.Outcome{ClientID: c, Type: jobType, Status: status, Charged: charged, FinishedAt: at}
		}
		for _, batch := range [][]*tallygate.Outcome{
			{
				ended("cl_a", "x", tallygate.JobSucceeded, noon, 10),
				ended("cl_a", "x", tallygate.JobSucceeded, noon, 20),
				ended("cl_a", "x", tallygate.JobFailed, midnight.Add(-time.Microsecond), 0),
				ended("cl_a", "y", tallygate.JobCancelled, noon, 5),
				ended("cl_b", "x", tallygate.JobSucceeded, noon, 1000),
			},
			{
				ended("cl_a", "x", tallygate.JobSucceeded, noon, 30),
				ended("cl_a", "x", tallygate.JobCancelled, midnight, 7),
			},
		} {
			f.update(func(tx tallygate.Tx) error {
				for _, o := range batch {
					if err := tx.CountUsage(o); err != nil {
						return err
					}
				}
				return nil
			})
		}
		f.fails(func(tx tallygate.Tx) error {
			if err := tx.CountUsage(ended("cl_a", "x", tallygate.JobSucceeded, noon, 9999)); err != nil {
				return err
			}
			return errGuilty
		})
		day1, day2 := midnight.AddDate(0, 0, -1), midnight
		want := []tallygate.Usage{
			{Day: day1, Type: "x", Succeeded: 3, Failed: 1, Charged: 60},
			{Day: day1, Type: "y", Cancelled: 1, Charged: 5},
			{Day: day2, Type: "x", Cancelled: 1, Charged: 7},
		}
		within := func(from, to time.Time) func(tx tallygate.Tx) ([]tallygate.Usage, error) {
			return func(tx tallygate.Tx) ([]tallygate.Usage, error) { return tx.Usage("cl_a", from, to) }
		}
		seen(f, "both days", want, within(day1, day2.AddDate(0, 0, 1)))
		seen(f, "the first day", want[:2], within(day1, day2))
		seen(f, "the second day", want[2:], within(day2, day2.AddDate(0, 0, 1)))
		seen(f, "a day begun", want, within(noon, day2.Add(time.Hour)))
		seen(f, "the days before", nil, within(day1.AddDate(0, 0, -7), day1))
	}},
}
