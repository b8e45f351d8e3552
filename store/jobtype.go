package store

import (
	"encoding/json"

	"github.com/tallygate/tallygate"
)

// A job type's definition and a price are stored as the JSON of their Go values.

// JobType returns the type, or nil. The value is shared and not to be changed.
func (tx *Tx) JobType(name string) (*tallygate.JobType, error) {
	if t, ok := tx.cache.types[name]; ok {
		return t, nil
	}
	t, err := one(tx, `SELECT definition FROM job_types WHERE name = $1`, scanJobType, name)
	if err == nil && t != nil {
		tx.cache.types[name] = t
	}
	return t, err
}

func scanJobType(r Row) (*tallygate.JobType, error) {
	t := new(tallygate.JobType)
	return t, json.Unmarshal(r.Bytes(0), t)
}

// JobTypes lists every type by name.
func (tx *Tx) JobTypes() ([]*tallygate.JobType, error) {
	return all(tx, `SELECT definition FROM job_types ORDER BY name`, scanJobType)
}

// SaveJobType adds or replaces a type.
func (tx *Tx) SaveJobType(t *tallygate.JobType) error {
	definition, err := json.Marshal(t)
	if err != nil {
		return err
	}
	copied := *t
	tx.cache.types[t.Name] = &copied
	return tx.exec(`INSERT INTO job_types (name, definition, revision) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET definition = excluded.definition, revision = excluded.revision`,
		t.Name, definition, t.Revision)
}

// DeleteJobType removes a type; its prices stay.
func (tx *Tx) DeleteJobType(name string) error {
	delete(tx.cache.types, name)
	return tx.exec(`DELETE FROM job_types WHERE name = $1`, name)
}

// GoneTypes lists the types that were deleted and not defined again.
func (tx *Tx) GoneTypes() (names []string, err error) {
	err = tx.conn.Query(`SELECT DISTINCT job_type FROM prices WHERE job_type NOT IN (SELECT name FROM job_types) ORDER BY job_type`,
		func(r Row) error { names = append(names, r.Text(0)); return nil })
	return names, err
}

// Price returns what a version of the type's price was.
func (tx *Tx) Price(jobType string, version int64) (tallygate.Price, error) {
	key := priceKey{jobType, version}
	if p, ok := tx.cache.prices[key]; ok {
		return p, nil
	}
	p, err := one(tx, `SELECT price FROM prices WHERE job_type = $1 AND version = $2`, func(r Row) (*tallygate.Price, error) {
		p := new(tallygate.Price)
		return p, json.Unmarshal(r.Bytes(0), p)
	}, jobType, version)
	if err != nil {
		return tallygate.Price{}, err
	}
	if p == nil {
		return tallygate.Price{}, tallygate.Errorf(tallygate.DatabaseError, "price %d of job type %s is missing", version, jobType)
	}
	tx.cache.prices[key] = *p
	return *p, nil
}

// NewestPriceVersion is the highest version of the type's price, 0 where it never had one.
func (tx *Tx) NewestPriceVersion(jobType string) (int64, error) {
	return tx.integer(`SELECT COALESCE(MAX(version), 0) FROM prices WHERE job_type = $1`, jobType)
}

// SavePrice adds a version of the type's price.
func (tx *Tx) SavePrice(jobType string, version int64, p tallygate.Price) error {
	price, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO prices (job_type, version, price) VALUES ($1, $2, $3)`, jobType, version, price)
}

// TypeLoad returns a copy of the type's load; one that was never saved is empty.
func (tx *Tx) TypeLoad(name string) (*tallygate.TypeLoad, error) {
	row, err := tx.cachedLoad(name)
	if err != nil {
		return nil, err
	}
	load := row.value
	return &load, nil
}

func (tx *Tx) cachedLoad(name string) (*cached[tallygate.TypeLoad], error) {
	if row, ok := tx.cache.loads[name]; ok {
		return row, nil
	}
	row := &cached[tallygate.TypeLoad]{}
	err := tx.conn.Query(`SELECT live, running, cost FROM type_loads WHERE `+newest("job_type", "$1"), func(r Row) error {
		row.value = tallygate.TypeLoad{Live: r.Int64(0), Running: r.Int64(1), Cost: nanoseconds(r.Int64(2))}
		return nil
	}, name)
	if err == nil {
		tx.cache.loads[name] = row
	}
	return row, err
}

var upsertLoad = upsert("type_loads", "job_type", "live, running, cost")

// SaveTypeLoad writes the type's load, once a batch.
func (tx *Tx) SaveTypeLoad(name string, load *tallygate.TypeLoad) error {
	row, err := tx.cachedLoad(name)
	if err != nil {
		return err
	}
	return put(tx, row, *load, func(load *tallygate.TypeLoad) error {
		return tx.conn.Write(upsertLoad, name, load.Live, load.Running, int64(load.Cost))
	})
}
