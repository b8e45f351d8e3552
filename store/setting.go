package store

// Setting returns what was saved under the name, empty where nothing was.
func (tx *Tx) Setting(name string) (value string, err error) {
	err = tx.conn.Query(`SELECT value FROM settings WHERE name = $1`, func(r Row) error { value = r.Text(0); return nil }, name)
	return value, err
}

// SaveSetting keeps a value under the name.
func (tx *Tx) SaveSetting(name, value string) error {
	return tx.exec(`INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, value)
}
