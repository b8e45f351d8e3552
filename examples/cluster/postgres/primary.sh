#!/bin/sh
# Run once, when the primary's folder is made: the database and its owner, a role for the standby, and the rule that a
# commit is on the standby's disk, too, before it counts. The rule holds from the server's next start.
set -e
psql --no-psqlrc -v ON_ERROR_STOP=1 --username postgres \
	-v tallygate="$DB_PASSWORD" -v replicator="$REPLICATION_PASSWORD" <<'SQL'
CREATE ROLE tallygate LOGIN PASSWORD :'tallygate';
CREATE DATABASE tallygate OWNER tallygate;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replicator';
SELECT pg_create_physical_replication_slot('standby');
ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; -- kept for a standby that is away; beyond, it has to be made anew
ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (standby)';
SQL
echo "host replication replicator all scram-sha-256" >>"$PGDATA/pg_hba.conf"
