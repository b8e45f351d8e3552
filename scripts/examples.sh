#!/usr/bin/env bash
# Runs the examples against a server of their own: ./scripts/examples.sh [NAME…]. Each is a function here, named as its
# folder with underscores, that ends with an error where the example does not do what its page says.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
test -x bin/tallygate || make build
place=$(mktemp -d)
processes=()
trap 'kill "${processes[@]}" 2>/dev/null || true; wait; rm -rf "$place"' EXIT

# begin LOG COMMAND…: starts a process that ends with this script; its output goes to LOG.
begin() {
	"${@:2}" >"$place/$1" 2>&1 &
	processes+=($!)
}

# member NAME: the member of the JSON object on the standard input.
member() { node -e 'process.stdin.on("data", (d) => (text = (globalThis.text ?? "") + d)).on("end", () => console.log(JSON.parse(text)[process.argv[1]]))' "$1"; }

# says LOG PATTERN: waits until the process that began last says a line of the pattern; fails where it ends before.
says() {
	local line
	while read -r line; do
		if [[ $line =~ $2 ]]; then
			kill $!
			echo "$line"
			return
		fi
	done < <(exec timeout 60 tail -n +1 -f --pid="${processes[-1]}" "$place/$1")
	cat "$place/$1" >&2
	return 1
}

operator_key=$(bin/tallygate init --database "$place/tallygate.db" --json | member operator_key)
begin server.log bin/tallygate serve --listen 127.0.0.1:0 --database "$place/tallygate.db"
TALLYGATE_URL=$(says server.log 'listening on http')
TALLYGATE_URL=${TALLYGATE_URL##* }
export TALLYGATE_URL
tallygate() { TALLYGATE_KEY=$operator_key "$root/bin/tallygate" "$@"; }
client=$(tallygate client create Acme --json | member id)
tallygate credit add "$client" 100.00 >/dev/null
client_key=$(tallygate key create --client "$client" --permission preset:submit --json | member key)
worker_key=$(tallygate key create --permission work --json | member key)

worker_typescript() {
	npm ci --silent --ignore-scripts --prefix sdk/typescript && npm run --silent build --prefix sdk/typescript
	npm ci --silent --ignore-scripts --prefix examples/worker-typescript
	npm run --silent build --prefix examples/worker-typescript
	tallygate job-type apply examples/worker-typescript/job-types.yaml
	begin worker-typescript.log env TALLYGATE_KEY="$worker_key" node examples/worker-typescript/dist/worker.js
	local worker=$!
	says worker-typescript.log working
	cd examples/worker-typescript
	local image='import { decode, encode } from "./dist/png.js"; import { readFileSync, writeFileSync } from "node:fs"; import assert from "node:assert/strict";'
	node --input-type=module -e "$image"'
		const [width, height, pixels] = [640, 480, []];
		for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) pixels.push(x / 2.5, y / 2, 128, 255);
		writeFileSync(process.argv[1], encode({ width, height, pixels: Uint8Array.from(pixels) }));' "$place/large.png"
	TALLYGATE_KEY=$client_key node dist/submit.js "$place/large.png" 64 "$place/small.png"
	node --input-type=module -e "$image"'
		const { width, height, pixels } = decode(readFileSync(process.argv[1]), 1e6);
		assert.deepEqual([width, height], [64, 48]);
		const near = (x, y, red, green) => {
			const [r, g, b, a] = pixels.subarray((y * width + x) * 4);
			assert.ok(Math.abs(r - red) < 4 && Math.abs(g - green) < 4 && b === 128 && a === 255, [x, y, r, g, b, a].join());
		};
		near(0, 0, 2, 2); near(63, 0, 253, 2); near(0, 47, 2, 237); near(63, 47, 253, 237);' "$place/small.png"
	echo 'no image' >"$place/bad.png"
	! TALLYGATE_KEY=$client_key node dist/submit.js "$place/bad.png" 64 "$place/none.png" 2>"$place/bad.log"
	grep -x 'PROCESSING_FAILED: this is no PNG image' "$place/bad.log"
	kill -TERM "$worker" && wait "$worker"
	grep -x ended "$place/worker-typescript.log"
	cd "$root"
}

worker_go() {
	go build -o "$place/worker-go" ./examples/worker-go
	tallygate job-type apply examples/worker-go/job-type.yaml
	begin worker-go.log env TALLYGATE_KEY="$worker_key" "$place/worker-go" -concurrency 2
	local worker=$!
	{
		echo city,height
		for i in {1..25000}; do echo "city $((i % 7)),$i"; done
	} | gzip >"$place/cities.csv.gz"
	printf '{"data":"%s"}' "$(base64 -w0 "$place/cities.csv.gz")" >"$place/cities.json"
	TALLYGATE_KEY=$client_key bin/tallygate job submit csv.profile --input @"$place/cities.json" --wait --json >"$place/profile.json" 2>"$place/profile.log"
	grep -x '20000 rows' "$place/profile.log" # the worker's lines come through
	node -e 'const assert = require("node:assert/strict"), job = JSON.parse(require("node:fs").readFileSync(process.argv[1]));
		const [city, height] = job.result.columns;
		assert.equal(job.result.rows, 25000);
		assert.deepEqual([city.kind, city.distinct], ["text", 7]);
		assert.deepEqual([height.kind, height.min, height.max, height.mean, height.stddev], ["number", 1, 25000, 12500.5, 7217.02270099]);
		assert.deepEqual([job.receipt.units, job.receipt.charged], [{ kilorow: 25 }, "0.0135"]);' "$place/profile.json"
	kill -TERM "$worker" && wait "$worker"
}

upstream_go() {
	go build -o "$place/upstream-go" ./examples/upstream-go
	begin upstream-go.log env UPSTREAM_SECRET=whsec_aSBhbSBub3QgYSBzZWNyZXQ= "$place/upstream-go" -listen 127.0.0.1:0
	local upstream=$! address
	address=$(says upstream-go.log 'listening on http')
	sed "s|http://127.0.0.1:9000|${address##* }|" examples/upstream-go/job-type.yaml >"$place/palette.yaml"
	tallygate job-type apply "$place/palette.yaml"
	# A GIF of two pixels, black and white.
	printf '{"image":"R0lGODlhAgABAIAAAAAAAP///ywAAAAAAgABAAACAkQKADs=","colors":2}' >"$place/picture.json"
	TALLYGATE_KEY=$client_key bin/tallygate job submit image.palette --input @"$place/picture.json" --wait --json >"$place/palette.json"
	node -e 'const assert = require("node:assert/strict"), job = JSON.parse(require("node:fs").readFileSync(process.argv[1]));
		assert.deepEqual([job.result.format, job.result.width, job.result.height], ["gif", 2, 1]);
		assert.deepEqual(job.result.colors, [{ color: "#000000", share: 0.5 }, { color: "#ffffff", share: 0.5 }]);
		assert.equal(job.receipt.charged, "0.0012");' "$place/palette.json"
	test "$(curl -s -o "$place/unsigned" -w '%{http_code}' -d '{}' "${address##* }")" = 401 # whoever has not the secret
	kill -TERM "$upstream" && wait "$upstream"
}

batch_submit() {
	go build -o "$place/batch-submit" ./examples/batch-submit
	go build -o "$place/worker-go" ./examples/worker-go
	tallygate job-type apply examples/worker-go/job-type.yaml
	begin batch-worker.log env TALLYGATE_KEY="$worker_key" "$place/worker-go" -concurrency 8
	local worker=$! i
	for i in {1..250}; do printf '{"data":"%s"}\n' "$(printf 'n\n%d\n' "$i" | base64)"; done >"$place/inputs.jsonl"
	for i in 1 2; do # the second run finds the jobs of the first
		TALLYGATE_KEY=$client_key "$place/batch-submit" -type csv.profile <"$place/inputs.jsonl" >"$place/results-$i.jsonl" 2>"$place/bar.log" || { cat "$place/bar.log"; exit 1; }
		tail -n 1 "$place/bar.log"
		grep -q '250 of 250, 0.375 USD$' "$place/bar.log"
	done
	cmp "$place/results-1.jsonl" "$place/results-2.jsonl"
	node -e 'const assert = require("node:assert/strict"), lines = require("node:fs").readFileSync(process.argv[1], "utf8").trim().split("\n");
		lines.forEach((line, i) => assert.equal(JSON.parse(line).result.columns[0].max, i + 1));' "$place/results-1.jsonl"
	kill -TERM "$worker" && wait "$worker"
}

worker_python() {
	python3 -c 'import ensurepip' 2>/dev/null || {
		apt-get update -qq
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
	}
	python3 -m venv "$place/python"
	"$place/python/bin/pip" install --quiet --disable-pip-version-check ./sdk/python
	tallygate job-type apply examples/worker-python/job-type.yaml
	cd examples/worker-python
	"$place/python/bin/python" -m unittest -q
	begin worker-python.log env TALLYGATE_KEY="$worker_key" "$place/python/bin/python" worker.py
	local worker=$!
	TALLYGATE_KEY=$client_key "$place/python/bin/python" submit.py samples/* | tee "$place/submitted"
	grep -q '^samples/notes.md succeeded 0.003 .*"title": "Notes on the harbour"' "$place/submitted"
	grep -q '^samples/ships.csv succeeded 0.003 .*"mean": 109.25' "$place/submitted"
	grep -qx 'all of it cost 0.009 USD' "$place/submitted"
	echo text >"$place/letter.docx"
	! TALLYGATE_KEY=$client_key "$place/python/bin/python" submit.py "$place/letter.docx" >"$place/refused"
	grep -q 'letter.docx failed 0.00 .*is none of csv, htm, html, markdown, md' "$place/refused"
	kill -TERM "$worker" && wait "$worker"
	cd "$root"
}

# Without names every example is run.
test $# -gt 0 || set -- worker_typescript worker_python worker_go upstream_go batch_submit
for example; do
	printf '\n-- %s\n' "$example"
	"$example"
done
