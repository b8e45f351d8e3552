#!/usr/bin/env bash
# The TypeScript SDK: check, replay the cases, test against the real server, then pack it and use it under Node, Deno, Bun
# and in Chromium. Needs Node; installs Chromium and openssl where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for program in chromium openssl; do command -v $program >/dev/null || missing+=($program); done
test ${#missing[@]} = 0 || {
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
test -x bin/tallygate || make build

cd sdk/typescript
npm ci --silent --ignore-scripts
(cd checks && npm ci --silent --ignore-scripts && node node_modules/bun/install.js)
npm run --silent build
npm run --silent check
node --test build/*.test.js
node --test build/package.check.js
