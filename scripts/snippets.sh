#!/usr/bin/env bash
# Runs every snippet of the documentation and follows the quickstart. The Python that it uses is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."

need() { command -v "$1" >/dev/null || missing+=("$1"); }
missing=()
for program in bash curl git jq make node python3; do need $program; done
test ${#missing[@]} = 0 || {
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/python"
"$place/python/bin/pip" install --quiet --disable-pip-version-check requests

cd e2e
PATH="$place/python/bin:$PATH" TALLYGATE_E2E=1 go test -count=1 -timeout 10m -v ./snippets "$@" | grep -vE '^=== (RUN|PAUSE|CONT|NAME)'
