package tallygate

// IdempotencyHeader is the request header that names an effect, so that a repeated request has it once.
const IdempotencyHeader = "Idempotency-Key"

// Remember gives an effect its idempotency inside tx. If record's key is already taken by the same request, it returns
// what was recorded with replayed true and leaves effect alone; if by another request, INVALID_PARAMETER. Otherwise it
// runs effect, which decides before it writes, and records its answer. An empty key has effect run without a record.
func Remember(tx Tx, record Idempotency, effect func() (body []byte, jobs []JobID, err error)) (rec *Idempotency, replayed bool, err error) {
	if record.Key != "" {
		earlier, err := tx.Idempotency(record.ClientID, record.Key)
		if err != nil {
			return nil, false, err
		}
		if earlier != nil {
			if earlier.RequestHash != record.RequestHash {
				return nil, false, &Error{
					Code:   InvalidParameter,
					Detail: IdempotencyHeader + ": another request was already made with this key; give each request its own",
					Field:  IdempotencyHeader,
				}
			}
			return earlier, true, nil
		}
	}
	if record.Body, record.Jobs, err = effect(); err != nil {
		return nil, false, err
	}
	if record.CreatedAt.IsZero() {
		record.CreatedAt = tx.Now()
	}
	if record.Key != "" {
		if err := tx.InsertIdempotency(&record); err != nil {
			return nil, false, err
		}
	}
	return &record, false, nil
}
