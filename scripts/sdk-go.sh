#!/usr/bin/env bash
# The Go SDK as its users get it: the module is packed, fetched into an empty project with an empty cache, and runs a job
# from there; then every case of sdk/cases that this SDK passes is listed.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
test -x bin/tallygate || make build
place=$(mktemp -d)
server=
trap 'test -z "$server" || { kill "$server" && wait "$server" || true; }; chmod -R u+w "$place"; rm -rf "$place"' EXIT

module=github.com/tallygate/tallygate
version=v$(sed -n 's/^const Version = "\(.*\)"$/\1/p' sdk/go/client.go)
python3 - "$place/proxy" "$module" "$version" <<'PYTHON'
# Writes the module into a folder that go takes for a proxy (go help goproxy): what git knows of, without other modules.
import json, pathlib, subprocess, sys, zipfile
proxy, module, version = sys.argv[1:]
files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], check=True, capture_output=True).stdout.decode().split("\0")
files = [name for name in files if name and pathlib.Path(name).is_file()]
others = [name.rpartition("/")[0] + "/" for name in files if name.endswith("/go.mod")]
at = pathlib.Path(proxy, module, "@v")
at.mkdir(parents=True)
(at / "list").write_text(version + "\n")
(at / f"{version}.info").write_text(json.dumps({"Version": version}))
(at / f"{version}.mod").write_bytes(pathlib.Path("go.mod").read_bytes())
with zipfile.ZipFile(at / f"{version}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
    for name in files:
        if not name.startswith(tuple(others)):
            packed.write(name, f"{module}@{version}/{name}")
PYTHON

mkdir "$place/consumer"
cd "$place/consumer"
cat >main.go <<'GO'
// Command consumer runs one job from a project of its own.
package main

import (
	"context"
	"fmt"
	"log"

	tallygate "github.com/tallygate/tallygate/sdk/go"
)

func main() {
	ctx, stop := context.WithCancel(context.Background())
	operator, err := tallygate.New()
	check(err)
	_, err = operator.JobTypes.Define(ctx, "text.length", tallygate.JobTypeDefinition{Price: tallygate.Price{Base: "0.01"}})
	check(err)
	worker := tallygate.Worker{Client: operator, Handlers: map[string]tallygate.Handler{
		"text.length": tallygate.HandlerOf(func(_ context.Context, _ *tallygate.Attempt, text string) (int, error) { return len(text), nil }),
	}}
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }()
	client, err := operator.Clients.Create(ctx, tallygate.NewClient{Name: "Acme"})
	check(err)
	_, err = operator.Clients.Credit(ctx, client.ID, tallygate.Credit{Amount: "1.00"})
	check(err)
	key, err := operator.Clients.APIKeys.Create(ctx, client.ID, tallygate.NewAPIKey{Permissions: []string{"preset:full"}})
	check(err)
	acme, err := tallygate.New(tallygate.WithKey(key.Key.Reveal()))
	check(err)
	length, err := tallygate.Run[int](ctx, acme, "text.length", "twelve bytes")
	check(err)
	account, err := acme.Account.Get(ctx)
	check(err)
	stop()
	check(<-ended)
	fmt.Println(length, account.Balance.Available)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
GO
unset GOFLAGS GOWORK
export GOMODCACHE=$place/cache GONOSUMDB=$module GONOSUMCHECK=1 GOWORK=off
GOPROXY="file://$place/proxy,$(go env GOPROXY)"
export GOPROXY
go mod init example.com/consumer 2>/dev/null
go get "$module/sdk/go@$version"
go mod tidy
cat go.mod go.sum
test "$(grep -c . go.sum)" = 2 || { echo "go.sum has more than the module itself: the SDK asks its users for other modules" >&2; exit 1; }
test "$(grep -c '^require\|^	' go.mod)" = 1 || { echo "go.mod has more than the module itself" >&2; exit 1; }
go build -o consumer .

TALLYGATE_KEY=$("$root/bin/tallygate" init --database "$place/tallygate.db" --json | sed 's/.*"operator_key":"\([^"]*\)".*/\1/')
export TALLYGATE_KEY
"$root/bin/tallygate" serve --listen 127.0.0.1:0 --database "$place/tallygate.db" >"$place/server.log" 2>&1 &
server=$!
TALLYGATE_URL=$(grep -m 1 -o 'http://[0-9.:]*' < <(exec timeout 60 tail -n +1 -f --pid=$server "$place/server.log"))
export TALLYGATE_URL
test "$(./consumer)" = "12 0.99"

cd "$root"
unset GOMODCACHE GOPROXY GONOSUMDB GONOSUMCHECK GOWORK
go test -count=1 -v -run '^TestCases$' ./sdk/go | grep '^case' | sort | tee "$place/cases"
echo "$(wc -l <"$place/cases") cases"
test -z "$(grep -v '^case PASS' "$place/cases")"
