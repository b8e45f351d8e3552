#!/usr/bin/env bash
# The API's description in the hands of tools that nobody here wrote: scripts/openapi.sh [STEP…] lints it, and makes
# clients of it, by the commands of docs/openapi.md, that run a job. Needs Go, Node and Python.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD tools=$PWD/e2e/openapi
if ! python3 -c 'import ensurepip' 2>/dev/null; then
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
fi
test -x bin/tallygate || make build
place=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; wait; rm -rf "$place"' EXIT
bin/tallygate openapi --yaml >"$place/openapi.yaml"
bin/tallygate openapi >"$place/openapi.json"

lint() {
	npm ci --silent --prefix "$tools"
	"$tools/node_modules/.bin/spectral" lint --fail-severity warn --ruleset "$tools/spectral.yaml" "$place/openapi.yaml"
}

# serve starts a server with a job type, a client that has money and keys for all.
serve() {
	local key client
	key=$(bin/tallygate init --database "$place/tallygate.db" --json | member operator_key)
	bin/tallygate serve --listen 127.0.0.1:0 --database "$place/tallygate.db" >"$place/address" 2>"$place/server.log" &
	server=$!
	until grep -q listening "$place/address"; do kill -0 $server || { cat "$place/server.log" >&2; return 1; }; sleep 0.1; done
	TALLYGATE_URL=$(sed 's/.* //' "$place/address")
	export TALLYGATE_URL TALLYGATE_OPERATOR_KEY=$key TALLYGATE_WORKER_KEY=$key
	echo 'job_types: [{name: text.stats, price: {base: "0.01"}}]' >"$place/types.yaml"
	export TALLYGATE_KEY=$key
	bin/tallygate job-type apply "$place/types.yaml" >/dev/null
	client=$(bin/tallygate client create Acme --json | member id)
	bin/tallygate credit add "$client" 1.00 >/dev/null
	TALLYGATE_KEY=$(bin/tallygate key create --client "$client" --permission preset:submit --json | member key)
}

# member NAME: the member of the JSON object on the standard input.
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# shown LANGUAGE: the commands of docs/openapi.md for it.
shown() { awk -v begin="^\`\`\`sh .*name=$1\$" '$0 ~ begin { on = 1; next } /^```/ { on = 0 } on' "$root/docs/openapi.md"; }

clients() {
	serve
	local language commands
	for language in go typescript python; do
		echo "a client for $language"
		mkdir "$place/$language"
		cp -r "e2e/generated/$language/." "$place/$language"
		cp "$place/openapi.json" "$place/$language"
		commands=$(shown $language)
		test -n "$commands"
		(cd "$place/$language"; eval "$commands"; "run_$language")
	done
}
run_go() { go run .; }
run_typescript() { npx tsc -p . && node build/run.js; }
run_python() { ./venv/bin/python run.py; }

for step in "${@:-lint clients}"; do for one in $step; do "$one"; done; done
