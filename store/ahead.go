package store

import "github.com/tallygate/tallygate"

// ReadAhead brings rows into the transaction's cache, each kind in one query. It is for engines whose Conn takes a
// []string as an array.
func (tx *Tx) ReadAhead(r tallygate.Reads) error {
	tx.far = true
	if err := tx.itemsAhead(r.Jobs); err != nil {
		return err
	}
	clients := r.Clients
	for _, id := range r.Jobs {
		if q, found := tx.cache.leased[id]; found {
			clients = append(clients, q.ClientID)
		}
	}
	if err := tx.clientsAhead(clients); err != nil {
		return err
	}
	return tx.recordsAhead(r.Keys)
}

func (tx *Tx) clientsAhead(ids []tallygate.ClientID) error {
	missing := absent(ids, func(id tallygate.ClientID) bool { return tx.cache.clients[id] != nil })
	if len(missing) == 0 {
		return nil
	}
	found, err := all(tx, `SELECT `+clientColumns+` FROM unnest(CAST($1 AS TEXT[])) AS v (sought)
		CROSS JOIN LATERAL (SELECT * FROM clients WHERE `+newest("id", "v.sought")+`) AS c`, scanClient, missing)
	for _, c := range found {
		tx.cache.clients[c.ID] = &cached[tallygate.Client]{value: *c}
	}
	return err
}

func (tx *Tx) itemsAhead(ids []tallygate.JobID) error {
	missing := absent(ids, func(id tallygate.JobID) bool { _, ok := tx.cache.leased[id]; return ok })
	if len(missing) == 0 {
		return nil
	}
	found, err := all(tx, `SELECT `+itemColumns+` FROM queue q WHERE q.job_id = ANY($1)`, scanItem, missing)
	for _, q := range found {
		tx.keepLeased(q)
	}
	return err
}

func (tx *Tx) recordsAhead(keys []tallygate.IdempotencyKey) error {
	if len(keys) == 0 {
		return nil
	}
	tx.records = map[tallygate.IdempotencyKey]*tallygate.Idempotency{}
	clients, texts := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		clients[i], texts[i] = string(k.ClientID), k.Key
		tx.records[k] = nil
	}
	found, err := all(tx, `SELECT `+recordColumns+` FROM idempotency WHERE (client_id, key) IN
		(SELECT * FROM unnest(CAST($1 AS TEXT[]), CAST($2 AS TEXT[])))`, scanRecord, clients, texts)
	for _, rec := range found {
		tx.records[tallygate.IdempotencyKey{ClientID: rec.ClientID, Key: rec.Key}] = rec
	}
	return err
}

// absent returns the IDs that are not known, each once.
func absent[ID ~string](ids []ID, known func(ID) bool) []string {
	var missing []string
	seen := map[ID]bool{}
	for _, id := range ids {
		if !seen[id] && !known(id) {
			seen[id] = true
			missing = append(missing, string(id))
		}
	}
	return missing
}
