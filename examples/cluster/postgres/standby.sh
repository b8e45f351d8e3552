#!/bin/sh
# The first start copies the primary, later ones go on. The copy waits for no standby: once it is promoted it has none.
set -eu
if [ ! -d "$PGDATA" ]; then
	rm -rf "$PGDATA.new"
	PGPASSWORD=$REPLICATION_PASSWORD pg_basebackup --pgdata="$PGDATA.new" --slot=standby --write-recovery-conf --checkpoint=fast \
		--dbname="host=${PRIMARY:-primary} user=replicator application_name=standby"
	echo "synchronous_standby_names = ''" >>"$PGDATA.new/postgresql.auto.conf"
	mv "$PGDATA.new" "$PGDATA"
fi
exec postgres
