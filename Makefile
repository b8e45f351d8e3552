# Tallygate: make alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LINT := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 10s

.DEFAULT_GOAL := help
.PHONY: help build demo cluster test check fuzz soak bench

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## compile ./bin/tallygate
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/tallygate ./cmd/tallygate

demo: build ## build, then show the whole thing: server, client, three job types, receipts (Ctrl-C ends it)
	./bin/tallygate demo $(ARGS)

cluster: build ## two nodes, PostgreSQL with a standby, Redis, a balancer, and what to try (Ctrl-C ends it); ARGS=--once for a check
	$(GO) build -o bin/cluster ./examples/cluster
	./bin/cluster $(ARGS)

test: ## everything: install what is missing, check, unit, race, model, fuzz, end to end
	./scripts/test.sh

check: ## formatting, vet, linters, module files
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./... && $(GO) -C e2e vet -tags soak ./...
	$(GO) mod tidy -diff && $(GO) -C e2e mod tidy -diff
	$(LINT) run ./... && cd e2e && $(LINT) run --build-tags soak ./...

fuzz: ## every fuzz target for FUZZTIME (10s)
	./scripts/fuzz.sh $(FUZZTIME)

soak: ## the long forms: hundreds of kills, long faults and model checks, minutes of fuzzing
	./scripts/soak.sh

bench: build ## measure against a bare handler; ARGS="--json" for data
	./bin/tallygate bench $(ARGS)
