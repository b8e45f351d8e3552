package api

import (
	"maps"
	"slices"
	"strconv"

	"github.com/tallygate/tallygate"
)

// appendJob appends a job. Its receipt adds up: what was held is what was charged and released, once the job has ended.
func (s *Server) appendJob(b []byte, j *tallygate.Job) []byte {
	item, outcome := j.Item, j.Outcome
	b = append(b, `{"id":"`...)
	b = append(b, j.ID...)
	b = append(b, `","type":`...)
	b = appendText(b, j.Type)
	b = append(b, `,"client_id":"`...)
	b = append(b, j.ClientID...)
	b = append(b, `","status":"`...)
	b = append(b, j.Status()...)
	b = append(b, `","priority":`...)
	b = appendInt(b, j.Priority)
	b = append(b, `,"input":`...)
	b = appendRaw(b, j.Input, "null")
	b = append(b, `,"result":`...)
	if outcome != nil {
		b = appendRaw(b, outcome.Result, "null")
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"error":`...)
	if outcome != nil {
		b = appendJobError(b, outcome.Error)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"progress":`...)
	switch {
	case outcome != nil && outcome.Status == tallygate.JobSucceeded:
		b = append(b, '1')
	case item != nil && item.Progress >= 0:
		b = strconv.AppendFloat(b, item.Progress, 'f', -1, 64)
	default:
		b = append(b, "null"...)
	}
	b = append(b, `,"attempt":`...)
	switch {
	case outcome != nil:
		b = appendInt(b, outcome.Attempt)
	case item != nil:
		b = appendInt(b, item.Attempt)
	default:
		b = append(b, '0')
	}
	b = append(b, `,"max_attempts":`...)
	b = appendInt(b, j.MaxAttempts)
	b = append(b, `,"time_limit":`...)
	b = appendDuration(b, j.TimeLimit)
	b = s.appendReceipt(append(b, `,"receipt":`...), j)
	if item != nil {
		b = append(b, `,"cancel_requested":`...)
		b = strconv.AppendBool(b, item.CancelRequested)
		b = append(b, `,"last_error":`...)
		b = appendJobError(b, item.LastError)
	}
	b = append(b, `,"metadata":`...)
	b = appendRaw(b, j.Metadata, "{}")
	b = append(b, `,"run_at":`...)
	b = appendTime(b, j.RunAt)
	b = append(b, `,"created_at":`...)
	b = appendTime(b, j.CreatedAt)
	b = append(b, `,"started_at":`...)
	switch {
	case outcome != nil:
		b = appendTime(b, outcome.StartedAt)
		b = append(b, `,"finished_at":`...)
		b = appendTime(b, outcome.FinishedAt)
	case item != nil:
		b = appendTime(b, item.StartedAt)
		b = append(b, `,"finished_at":null`...)
	default:
		b = append(b, `null,"finished_at":null`...)
	}
	return append(b, '}')
}

// appendReceipt appends what the job costs.
func (s *Server) appendReceipt(b []byte, j *tallygate.Job) []byte {
	var charged, released tallygate.Money
	var units map[string]int64
	if j.Outcome != nil {
		charged, released, units = j.Outcome.Charged, j.Outcome.Released, j.Outcome.Units
	}
	b = append(b, `{"currency":`...)
	b = appendText(b, s.opt.Currency)
	b = append(b, `,"quoted":`...)
	b = appendMoney(b, j.Held)
	b = append(b, `,"held":`...)
	b = appendMoney(b, j.Held)
	b = append(b, `,"charged":`...)
	b = appendMoney(b, charged)
	b = append(b, `,"released":`...)
	b = appendMoney(b, released)
	b = append(b, `,"units":`...)
	b = appendUnits(b, units)
	b = append(b, `,"price_version":`...)
	b = appendInt(b, j.PriceVersion)
	return append(b, '}')
}

func appendUnits(b []byte, units map[string]int64) []byte {
	if len(units) == 0 {
		return append(b, "{}"...)
	}
	separator := byte('{')
	for _, name := range slices.Sorted(maps.Keys(units)) {
		b = append(b, separator)
		b = appendText(b, name)
		b = append(b, ':')
		b = appendInt(b, units[name])
		separator = ','
	}
	return append(b, '}')
}

func appendJobError(b []byte, e *tallygate.JobError) []byte {
	if e == nil {
		return append(b, "null"...)
	}
	b = append(b, `{"code":"`...)
	b = append(b, e.Code.String()...)
	b = append(b, `","message":`...)
	b = appendText(b, e.Message)
	return append(b, '}')
}
