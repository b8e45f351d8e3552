#!/usr/bin/env bash
# Everything that CI runs, on a fresh Debian machine with Go, Python and Node. What is missing is installed first.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=${CI:-true}

step() { printf '\n== %s (after %d s)\n' "$*" $SECONDS; }

# beside NAME COMMAND…: runs the command while the script goes on; join NAME waits for it and prints what it said.
# For steps that wait more than they compute.
said=$(mktemp -d)
declare -A lanes
beside() {
	set -m # a group of its own, to be ended as one
	(set +m; "${@:2}") >"$said/$1" 2>&1 &
	set +m
	lanes[$1]=$!
}
join() {
	local code=0
	wait "${lanes[$1]}" || code=$?
	unset "lanes[$1]"
	cat "$said/$1"
	return $code
}
# closing passes on what go test says and ends with the names of what failed or was cut off, which may stand far above.
closing() {
	local log
	log=$(mktemp -p "$said")
	tee "$log"
	awk '/^ *--- FAIL|^panic: |^\t*Test[^ ]+ \([0-9hms.]+\)$/ { failed = failed $0 "\n" }
		END { if (failed) printf "\nwhat failed, from above:\n%s", failed }' "$log"
}
# tidy is for the end, however it comes.
tidy() {
	local lane
	for lane in "${lanes[@]}"; do kill -- "-$lane" 2>/dev/null || true; done
	rm -rf "$said"
}
trap tidy EXIT

# need PROGRAM PACKAGE...: the packages are to be installed if the program (a name, or paths that match) is missing.
missing=()
need() { command -v "$1" >/dev/null || compgen -G "$1" >/dev/null || missing+=("${@:2}"); }

install() {
	policy=/usr/sbin/policy-rc.d # says whether Debian starts a server that it installs: no, the tests start theirs
	if [ ! -e $policy ]; then
		trap 'rm -f $policy' EXIT # of the subshell
		printf '#!/bin/sh\nexit 101\n' >$policy
		chmod +x $policy
	fi
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

step "install what is missing"
command -v node >/dev/null || { echo "node is missing: install Node 20 or newer" >&2; exit 1; }
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
need curl curl
need jq jq
need openssl openssl
need chromium chromium fonts-dejavu-core # now, since two steps at once can't install
need gcc gcc libc6-dev # the race detector needs it
command -v initdb >/dev/null || need '/usr/lib/postgresql/*/bin/initdb' postgresql
command -v valkey-server >/dev/null || need redis-server redis-server
need /usr/sbin/pgbouncer pgbouncer
test ${#missing[@]} = 0 || (install "${missing[@]}")
if ! python3 -c 'import requests, httpx' 2>/dev/null; then
	python3 -m venv .venv
	.venv/bin/pip install --quiet requests httpx
	export PATH="$PWD/.venv/bin:$PATH"
fi

step "build"
make build

step "check"
make check

step "start the PostgreSQL that the tests share"
if [ -z "${TALLYGATE_TEST_POSTGRES:-}" ]; then
	coproc SERVER { go run ./testserver/serve; } # it ends with this script, however that ends
	read -r -u "${SERVER[0]}" TALLYGATE_TEST_POSTGRES
	export TALLYGATE_TEST_POSTGRES
	echo "$TALLYGATE_TEST_POSTGRES"
fi

# SQLite is C in translation: its own races are not ours to find, and looking for them takes most of the time.
step "tests, with the race detector"
go test -race -gcflags=modernc.org/sqlite/lib=-race=false -count=1 -timeout 20m ./... | closing

cases=$said/cases
sdks() {
	set -e
	step "the Go SDK, from a project of its own"
	./scripts/sdk-go.sh | tee -a "$cases"
	step "the TypeScript SDK"
	./scripts/sdk-typescript.sh | tee -a "$cases"
	step "the Python SDK"
	./scripts/sdk-python.sh | tee -a "$cases"
	step "every case by every SDK"
	./scripts/sdk-cases.sh "$cases"
}
beside sdks sdks

step "what stands above the store, on PostgreSQL"
TALLYGATE_TEST_ENGINE=postgres go test -count=1 -timeout 20m ./access ./api ./executor ./ledger ./queue | closing
join sdks

# Without what is about files or HTTP alone, and what is on PostgreSQL in any case.
again() {
	set -e
	step "end to end, on PostgreSQL"
	TALLYGATE_TEST_ENGINE=postgres go test -C e2e -count=1 -timeout 20m -v . \
		-skip 'Node|Backend|Postgres|Redis|Cluster|Kill|DatabaseThat|FileSystem|ServeRefuses|KeyScan|Demo|Body|Callers|SDKs|Exchanges|Contract' |
		grep --line-buffered -vE '^ *(=== (RUN|PAUSE|CONT|NAME)|--- PASS)|^PASS' | closing
}
beside again again

step "end to end" # its tests wait more than they compute
go test -C e2e -count=1 -parallel 3 -timeout 20m -v . | grep --line-buffered -vE '^=== (RUN|PAUSE|CONT|NAME)' | closing
join again

shows() {
	set -e
	step "what the documentation shows"
	./scripts/snippets.sh
	step "the samples of the reference"
	./scripts/samples.sh
	step "the examples"
	./scripts/examples.sh
	step "demo, from nothing"
	./bin/tallygate demo --once --dir "$said/demo"
}
beside shows shows

step "the documentation in a browser"
./scripts/browser.sh

step "the API's description, linted, made into clients and held against a server"
./scripts/openapi.sh
join shows

step "fuzz, briefly"
make fuzz FUZZTIME=4s
