#!/usr/bin/env bash
# Everything that CI runs, on a fresh Debian machine with Go, Python and Node. What is missing is installed first.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=${CI:-true}

step() { printf '\n== %s\n' "$*"; }

step "install what is missing"
if ! python3 -c 'import requests' 2>/dev/null; then
	python3 -m venv .venv 2>/dev/null || { apt-get update -qq && apt-get install -y -qq python3-venv && python3 -m venv .venv; }
	.venv/bin/pip install --quiet requests
	export PATH="$PWD/.venv/bin:$PATH"
fi
command -v node >/dev/null || { echo "node is missing: install Node 20 or newer" >&2; exit 1; }
command -v curl >/dev/null || { apt-get update -qq && apt-get install -y -qq curl; }
command -v gcc >/dev/null || { apt-get update -qq && apt-get install -y -qq gcc libc6-dev; } # the race detector needs it

step "build"
make build

step "check"
make check

step "tests, with the race detector"
go test -race -count=1 -timeout 20m $(go list ./... | grep -v /e2e)

step "end to end"
go test -count=1 -timeout 20m -v ./e2e | grep -vE '^=== (RUN|PAUSE|CONT|NAME)'

step "fuzz, briefly"
make fuzz

step "demo, from nothing"
demo=$(mktemp -d)
trap 'rm -rf "$demo"' EXIT
./bin/tallygate demo --once --dir "$demo/demo"
