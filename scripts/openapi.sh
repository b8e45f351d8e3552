#!/usr/bin/env bash
# The API's description in the hands of tools that nobody here wrote: scripts/openapi.sh [STEP…] lints it, tests a server
# against it, and makes clients of it, by the commands of docs/openapi.md, that run a job. Needs Go, Node and Python.
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
	go -C "$tools" tool vacuum lint --no-update-check --remote=false --ext-refs --no-banner --no-style --details --fail-severity info \
		--ruleset vacuum.yaml --ignore-file vacuum-ignore.yaml "$place/openapi.yaml"
}

# serve starts a server with two job types, a client that has money and keys for all.
serve() {
	test -z "$server" || return 0
	local key client
	key=$(bin/tallygate init --database "$place/tallygate.db" --json | member operator_key)
	bin/tallygate serve --listen 127.0.0.1:0 --database "$place/tallygate.db" --failed-auth-limit 0 >"$place/address" 2>"$place/server.log" &
	server=$!
	until grep -q listening "$place/address"; do kill -0 $server || { cat "$place/server.log" >&2; return 1; }; sleep 0.1; done
	TALLYGATE_URL=$(sed 's/.* //' "$place/address")
	export TALLYGATE_URL TALLYGATE_OPERATOR_KEY=$key TALLYGATE_WORKER_KEY=$key
	cat >"$place/types.yaml" <<-'YAML'
		job_types:
		  - {name: text.stats, price: {base: "0.01"}}
		  - {name: free.form, price: {base: "0.01", units: {page: {price: "0.001", max: 10}}}}
	YAML
	export TALLYGATE_KEY=$key
	bin/tallygate job-type apply "$place/types.yaml" >/dev/null
	client=$(bin/tallygate client create Acme --requests-per-second 100000 --burst 100000 --json | member id)
	bin/tallygate credit add "$client" 1.00 >/dev/null
	TALLYGATE_KEY=$(bin/tallygate key create --client "$client" --permission preset:full --json | member key)
}

# member NAME: the member of the JSON object on the standard input.
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# probe sends requests of every kind that the description allows, and of many that it does not, and holds the answers
# against it: with an operator's key, and beside it with a client's, which needs no routes that are closed to it.
probe() {
	serve
	test -x "$tools/.venv/bin/python" || python3 -m venv "$tools/.venv"
	"$tools/.venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$tools/schemathesis.txt"
	local failed=0
	schemathesis "$TALLYGATE_KEY" --exclude-tag clients --exclude-tag audit --exclude-tag worker >"$place/client.log" 2>&1 &
	local client=$!
	echo "requests with an operator's key"
	schemathesis "$TALLYGATE_OPERATOR_KEY" || failed=1
	wait $client || failed=1
	echo "requests with a client's key"
	cat "$place/client.log"
	return $failed
}

# schemathesis KEY OPTION…
schemathesis() {
	local log
	log=$(mktemp -d -p "$place")
	(cd "$log" && PYTHONPATH="$tools" PYTHONDONTWRITEBYTECODE=1 SCHEMATHESIS_HOOKS=hooks TALLYGATE_PROBE_KEY=$1 \
		"$tools/.venv/bin/schemathesis" --config-file "$tools/schemathesis.toml" run "$place/openapi.json" \
		--url "$TALLYGATE_URL" --header "Authorization: Bearer $1" "${@:2}")
}

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

for step in "${@:-lint clients probe}"; do for one in $step; do "$one"; done; done
