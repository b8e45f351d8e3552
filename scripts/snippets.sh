#!/usr/bin/env bash
# Runs every snippet of the documentation, with the SDKs as they are in this tree: ./scripts/snippets.sh, or for one page
# ./scripts/snippets.sh quickstart: that one follows it in an empty folder, with an empty home.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for program in bash curl git jq make python3; do
	command -v $program >/dev/null || missing+=("$program")
done
test ${#missing[@]} = 0 || {
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
command -v node >/dev/null || { echo "node is missing: install Node 20 or newer" >&2; exit 1; }

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/python"
"$place/python/bin/pip" install --quiet --disable-pip-version-check requests ./sdk/python
test -x sdk/typescript/node_modules/.bin/tsc || npm ci --silent --prefix sdk/typescript
npm run --silent --prefix sdk/typescript build

PATH="$place/python/bin:$PATH" TALLYGATE_SNIPPETS="${1:-.}" go test -C e2e -count=1 -timeout 10m -v ./snippets |
	grep -vE '^=== (RUN|PAUSE|CONT|NAME)'
