# One command per job; `make help` lists them. Debian 12 (or alike) with Rust is enough: what else
# is missing, `make setup` installs, and the targets that need it call it themselves.

PG_CONFIG ?= /usr/lib/postgresql/15/bin/pg_config
# Keep synchronised with the pgrx trio in Cargo.toml: cargo-pgrx refuses other versions.
PGRX_VERSION := 0.18.1
PROXY := marketing-tracking-proxy
PYTHON := /usr/bin/python3
CARGO_TARGET_DIR ?= $(CURDIR)/target
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
export PG_CONFIG PGRX_VERSION CARGO_TARGET_DIR

LAYERS := format lint unit server regress e2e
RUN_LAYERS := $(PYTHON) -B tests/layers

.DEFAULT_GOAL := help
.PHONY: help setup build install package test $(LAYERS:%=test-%) bench demo demo-stop clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PG_CONFIG=$(PG_CONFIG)"

setup: ## install what is missing: Debian packages and cargo-pgrx
	@.ci/setup

build: setup ## build the extension and the proxy (debug)
	cargo build --features pg15
	cargo build --no-default-features --features proxy --bin $(PROXY)

install: setup ## build in release mode and install into the server of PG_CONFIG
	cargo pgrx install --release --pg-config $(PG_CONFIG) $(if $(SUDO),--sudo)
	cargo build --release --no-default-features --features proxy --bin $(PROXY)
	$(SUDO) install -m 755 $(CARGO_TARGET_DIR)/release/$(PROXY) $$($(PG_CONFIG) --bindir)/

package: setup ## make a tarball of the release files under target/
	@.ci/package

test: setup ## run all layers; TESTS="e2e unit" picks some
	@$(RUN_LAYERS) $(TESTS)

test-format: setup ## rustfmt
test-lint: setup ## clippy for both feature sets, pgspot on the install script
test-unit: setup ## the pure parts and the proxy, without a server
test-server: setup ## #[pg_test]s inside a PostgreSQL server
test-regress: setup ## pg_regress with golden files
test-e2e: setup ## real cluster, SMTP socket and proxy; E2E="-k name" picks some
$(LAYERS:%=test-%):
	@$(RUN_LAYERS) $(@:test-%=%)

bench: ## measure each stage beside raw SQL, smtp-source and nginx; BENCH_SCALE=0.1 is quicker
	@.ci/setup bench
	@$(MAKE) --no-print-directory install
	@$(PYTHON) -B tests/bench

demo: setup ## a campaign from start to end on a throw-away server; KEEP=1 leaves it running
	@KEEP=$(KEEP) $(PYTHON) -B tests/demo

demo-stop: ## end a demo that was kept
	@$(PYTHON) -B tests/demo stop

clean: ## remove everything that was built
	rm -rf $(CARGO_TARGET_DIR) target tests/results

# The proxy's features alone show that mail, SMTP and tracking name nothing of the extension; then the whole crate.
.PHONY: doc
doc: setup ## rustdoc of the crate with its private parts, in target/doc; warnings are errors
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --no-default-features --features proxy
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --no-default-features --features "pg$(or $(PG),15) proxy"
