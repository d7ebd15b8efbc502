# One command per job; `make help` lists them. Debian 12 (or alike) with Rust is enough: what else
# is missing, `make setup` installs, and the targets that need it call it themselves.

# The server to build for: PG_CONFIG names one that is installed, PG a version, for which `.ci/setup` finds
# a server to build and test with.
ifdef PG_CONFIG
PG := $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
endif
PG ?= 15
CARGO_TARGET_DIR ?= $(CURDIR)/target
PG_CONFIG ?= $(if $(filter 15,$(PG)),/usr/lib/postgresql/15/bin,$(CARGO_TARGET_DIR)/servers/$(PG))/pg_config
# Where pgrx looks up what to build for. One folder per version, so that each has build artifacts that stay.
PGRX_HOME := $(CARGO_TARGET_DIR)/pgrx/$(PG)
# Keep synchronised with the pgrx trio in Cargo.toml: cargo-pgrx refuses other versions.
PGRX_VERSION := 0.18.1
# Without it cargo-pgrx builds all dependencies with flags of its own, so that the proxy's are built again.
# The flags keep a section of the library that some linkers drop, of which only `cargo pgrx` reads; it fails where one does.
CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND := 1
PROXY := marketing-tracking-proxy
PYTHON := /usr/bin/python3
export PG PG_CONFIG PGRX_HOME PGRX_VERSION CARGO_TARGET_DIR CARGO_PGRX_DISABLE_GC_SECTIONS_WORKAROUND

LAYERS := format lint unit server regress e2e update package makefile
RUN_LAYERS := $(PYTHON) -B tests/layers
FETCHED := $(filter $(CARGO_TARGET_DIR)/servers/%,$(PG_CONFIG))
# Said before that server is fetched: it is one to test with.
ifneq ($(and $(FETCHED),$(filter install package deb,$(MAKECMDGOALS))),)
$(error name the server to install into: make $(MAKECMDGOALS) PG_CONFIG=/usr/lib/postgresql/15/bin/pg_config)
endif

.DEFAULT_GOAL := help
.PHONY: help setup setup-build build install package deb test $(LAYERS:%=test-%) test-regress-accept update-script release-freeze bench bench-peers fuzz compare-mjml demo demo-shop demo-stop clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PG=$(PG) PG_CONFIG=$(PG_CONFIG)"

setup: ## install what is missing: Debian packages, cargo-pgrx for tests, and the server of PG=15, 16, 17 or 18
	@.ci/setup

setup-build:
	@.ci/setup build

build: setup-build ## build the extension, the proxy and the mailer (debug)
	cargo build --no-default-features --features pg$(PG)
	cargo build --no-default-features --features proxy --bins

install: setup-build ## build in release mode and put into the server of PG_CONFIG, or below DESTDIR
	@.ci/install

package: setup-build ## make a tarball of the release files under target/
	@.ci/package

deb: setup-build ## make Debian packages under target/deb: the extension for the server of PG, and proxy and mailer
	@.ci/deb

test: setup ## run all layers; TESTS="e2e unit" picks some, PG=18 another server
	@$(RUN_LAYERS) $(TESTS)

test-format: setup ## rustfmt
test-lint: setup ## clippy for both feature sets, imports, pgspot on the scripts of installs and updates, released scripts
test-unit: setup ## the pure parts and the proxy, without a server
test-server: setup ## #[pg_test]s inside a PostgreSQL server; SERVER=name picks some
test-regress: setup ## pg_regress with golden files; REGRESS="events block" picks some
test-e2e: setup ## real cluster, SMTP socket and proxy; E2E="-k name" picks some
test-update: setup ## from each released version to this one, and to the next; UPDATE="-k name" picks some
test-package: setup ## Debian packages: made, checked by lintian, installed in a copy of this machine, run and removed
test-makefile: setup ## each command of this file once, in a fresh clone
$(LAYERS:%=test-%):
	@$(RUN_LAYERS) $(@:test-%=%)

test-regress-accept: ## take what a test of the last run printed as its golden file: NAME=events
	@$(PYTHON) -B tests/layers/accept.py $(NAME)

update-script: ## write the script that updates a release, FROM=0.1.0 or the latest, to the version in Cargo.toml
	@$(PYTHON) -B tests/release update-script $(FROM)

release-freeze: ## release the version in Cargo.toml, and go on as NEXT=0.3.0
	@$(PYTHON) -B tests/release freeze $(or $(NEXT),$(error name the version to go on with: make release-freeze NEXT=0.3.0))

bench: ## measure each stage beside raw SQL, smtp-source and nginx; BENCH_SCALE=0.1 is quicker; BENCH_STAGES=mail sends only, webhooks posts, tracking: clicks and opens, features: what each adds, at_once: from a commit to its mail
	@.ci/setup bench
	@$(PYTHON) -B tests/bench

bench-peers: ## Tryton's campaigns, graphile-worker and pg-boss do the same work on the same server; BENCH_SCALE=0.1 is quicker; see docs/benchmarks.md
	@.ci/setup peers
	@$(PYTHON) -B tests/bench/peers

fuzz: setup-build ## hostile input for what reads text of strangers; SECONDS=60 each, SEED=7, TARGET=mjml, INPUT=file
	@SECONDS=$(or $(SECONDS),60) SEED=$(SEED) TARGET=$(TARGET) INPUT=$(INPUT) cargo test -q --no-default-features --features proxy --test fuzz

compare-mjml: ## our MJML beside that of the npm package mjml: text, elements, pictures in Chromium; KEEP=1 takes over what the package makes
	@.ci/setup mjml
	@KEEP=$(KEEP) $(PYTHON) -B tests/mjml

demo: ## a campaign from start to end on a throw-away server; KEEP=1 leaves it running
	@.ci/setup demo
	@KEEP=$(KEEP) $(PYTHON) -B tests/demo

demo-shop: ## the campaigns of docs/recipes.md in a simulated year, on a throw-away server whose clock is set; DAYS=365
	@.ci/setup
	@DAYS=$(DAYS) $(PYTHON) -B tests/demo year

demo-stop: ## end a demo that was kept
	@$(PYTHON) -B tests/demo stop

clean: ## remove everything that was built
	rm -rf $(CARGO_TARGET_DIR) target tests/results

# Links to private items lead somewhere, as these are documented, too.
DOC_LINTS = -D warnings -A rustdoc::private_intra_doc_links
# The proxy's features alone show that mail, SMTP and tracking name nothing of the extension; then the whole crate.
.PHONY: doc
doc: setup-build ## rustdoc of the crate with its private parts, in target/doc; warnings are errors
	RUSTDOCFLAGS='$(DOC_LINTS)' cargo doc --no-deps --document-private-items --no-default-features --features proxy
	RUSTDOCFLAGS='$(DOC_LINTS)' cargo doc --no-deps --document-private-items --no-default-features --features "pg$(or $(PG),15) proxy"
