#!/usr/bin/env bash
# The documentation in a real browser: ./scripts/browser.sh. Needs Node; installs Chromium and the packages where they are missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v chromium >/dev/null; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
fi
test -x bin/tallygate || make build
(cd e2e/browser && npm ci --silent && npm test --silent)
