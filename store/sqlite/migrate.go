package sqlite

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks a file as Tallygate's: "TLGT" in SQLite's header.
const applicationID = 0x544c4754

// schemaVersion is the number of the newest migration.
func schemaVersion() int64 {
	files, _ := fs.ReadDir(migrations, "migrations") // embedded: it cannot fail
	return int64(len(files))
}

// checkMarks reads the marks in the file's header: whose it is and which schema it has. A new file has neither.
func checkMarks(c *sqlite.Conn) (version int64, err error) {
	owner, err := integer(c, "PRAGMA application_id")
	if err != nil {
		if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultNotADB {
			return 0, errors.New("the file is not a SQLite database: name another, or restore it from a backup")
		}
		return 0, err
	}
	if version, err = integer(c, "PRAGMA user_version"); err != nil {
		return 0, err
	}
	tables, err := integer(c, "SELECT COUNT(*) FROM sqlite_schema")
	if err != nil {
		if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultCorrupt {
			err = fmt.Errorf("the database is damaged: restore it from a backup: %w", err)
		}
		return 0, err
	}
	switch newest := schemaVersion(); {
	case owner == 0 && version == 0 && tables == 0:
		return 0, nil
	case owner != applicationID:
		return 0, errors.New("the file is another program's SQLite database: name another file")
	case version > newest:
		return 0, fmt.Errorf("the database has schema %d and this version of tallygate knows %d: run the newer version, or restore a backup from before the upgrade", version, newest)
	case version == 0 || tables == 0:
		return 0, errors.New("the database is damaged: its schema is gone; restore it from a backup")
	}
	return version, nil
}

// integer runs a statement for one integer.
func integer(c *sqlite.Conn, sql string) (value int64, err error) {
	err = sqlitex.ExecuteTransient(c, sql, &sqlitex.ExecOptions{ResultFunc: func(stmt *sqlite.Stmt) error {
		value = stmt.ColumnInt64(0)
		return nil
	}})
	return value, err
}

// migrate brings the schema forward, each step in a transaction of its own.
func migrate(c *sqlite.Conn) error {
	version, err := checkMarks(c)
	if err != nil {
		return err
	}
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return err
	}
	for i := version; i < int64(len(files)); i++ {
		sql, err := fs.ReadFile(migrations, "migrations/"+files[i].Name())
		if err != nil {
			return err
		}
		script := fmt.Sprintf("%s;\nPRAGMA application_id = %d;\nPRAGMA user_version = %d;", sql, applicationID, i+1)
		if err := sqlitex.ExecScript(c, script); err != nil {
			return fmt.Errorf("migration %s: %w", files[i].Name(), err)
		}
	}
	return nil
}
