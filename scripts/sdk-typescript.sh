#!/usr/bin/env bash
# The TypeScript SDK: check, replay the cases, test.
set -euo pipefail
cd "$(dirname "$0")/../sdk/typescript"
npm ci --silent
npm run --silent build
npm run --silent check
node --test build/*.test.js
