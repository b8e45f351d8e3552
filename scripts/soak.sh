#!/usr/bin/env bash
# The long forms of what make test does briefly, one after the other, on a machine with nothing else to do: some two and a
# half hours. It needs what make test has installed, and leaves nothing out where that is missing: then it fails.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=true
python3 -c 'import requests, httpx' 2>/dev/null || PATH="$PWD/.venv/bin:$PATH"

step() { printf '\n== %s (after %d s)\n' "$*" $SECONDS; }

make build

# What judges seconds has the machine to itself.
timed='WaitsEnd|JobsStart|Anew|Pause|StoodStill|Changes|AnotherNode|OneLimit'
many='Node|Backend|Postgres|Redis'

step "kills of one server under load"
TALLYGATE_KILLS=200 go test -C e2e -count=1 -run '^TestKill(Under|In)' -timeout 60m -v

step "faults of many nodes"
TALLYGATE_LONG=1 TALLYGATE_KILLS=100 go test -C e2e -tags soak -count=1 -run "$many" -skip "$timed" -timeout 90m -v

step "what many nodes do within seconds"
TALLYGATE_LONG=1 go test -C e2e -count=1 -parallel 1 -run "$timed" -timeout 60m -v

step "failovers"
go test -C e2e -count=10 -run FailoverOfPostgres -timeout 30m -v

step "models"
go test ./queue -count=1 -run Model -rapid.checks=2000 -timeout 60m
TALLYGATE_TEST_ENGINE=postgres go test ./queue -count=1 -run Model -rapid.checks=500 -timeout 60m

step "a snapshot held for ten minutes under load"
coproc SERVER { go run ./testserver/serve; } # it ends with this script, however that ends
read -r -u "${SERVER[0]}" url
./bin/tallygate bench --strict --database "$url" --only snapshot --hold 10m

step "fuzz"
./scripts/fuzz.sh 2m
