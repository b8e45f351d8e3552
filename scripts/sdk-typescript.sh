#!/usr/bin/env bash
# The TypeScript SDK: check, replay the cases, test against the real server.
set -euo pipefail
cd "$(dirname "$0")/../sdk/typescript"
test -x ../../bin/tallygate || make -C ../.. build
npm ci --silent
npm run --silent build
npm run --silent check
node --test build/*.test.js
