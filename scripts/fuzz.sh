#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other: scripts/fuzz.sh [TIME]
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-10s}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# An input that is new to the fuzzer is made smaller for a second, not for most of its time.
# fuzz PACKAGE TARGET fails where an input does. The fuzzer now and then takes the end of its own time for a failure
# ("context deadline exceeded"): that alone, without an input that fails, is none.
fuzz() {
	go test "$1" -run '^$' -fuzz "^$2\$" -fuzztime "$time" -fuzzminimizetime 1s 2>&1 | tee "$log" && return
	grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input|panic|_test.go:' "$log"
}

count=0
while IFS=: read -r file name; do
	echo "fuzz $name in $(dirname "$file") for $time"
	fuzz "./$(dirname "$file")" "$name"
	count=$((count + 1))
done < <(git ls-files --cached --others --exclude-standard '*_test.go' | xargs grep -oE '^func Fuzz[A-Za-z0-9_]+' | sed 's/func //' | sort)
echo "fuzzed $count targets"
test "$count" -gt 0
