#!/usr/bin/env bash
# Runs the samples of the API's reference: each route with curl, Go, Python and TypeScript. Needs Go, Node and Python;
# installs what is missing, and the SDKs.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for program in bash curl jq; do command -v $program >/dev/null || missing+=($program); done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
test ${#missing[@]} = 0 || {
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/python"
"$place/python/bin/pip" install --quiet --disable-pip-version-check ./sdk/python
test -x sdk/typescript/node_modules/.bin/tsc || npm ci --silent --prefix sdk/typescript
npm run --silent --prefix sdk/typescript build

cd e2e
TALLYGATE_SAMPLES_PYTHON="$place/python/bin/python" TALLYGATE_E2E=1 go test -count=1 -timeout 10m -v ./samples "$@" |
	grep -vE '^=== (RUN|PAUSE|CONT|NAME)'
