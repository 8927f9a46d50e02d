# `make` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help prepare build demo dev test check test-interop

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

prepare: ## Install what is missing, where that is allowed
	@deploy/dev/prepare.sh

build: prepare ## Build the binary
	cargo build --locked

demo: build ## The whole path once, for real: broker, database, data, training, bundle
	target/debug/model-factory demo

dev: build ## Keep the demo's environment running, for trying things by hand
	target/debug/model-factory dev

test: prepare ## All tests, against a real Kafka and a real Postgres
	@deploy/dev/test.sh

check: ## Format, lints, tidiness, documentation, licences, manifests, alerts
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --test tidy
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	@deploy/dev/deny.sh
	@deploy/dev/manifests.sh
	@deploy/dev/alerts.sh

test-interop: build ## Other people's software against what we make; the example registry and trainers; a browser
	@tests/interop/run.sh
