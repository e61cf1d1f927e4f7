# SPDX-License-Identifier: Apache-2.0
# The commands people type. Each does its own set-up, so that `make demo` and `make test` are enough on a fresh Debian.

SHELL := /bin/bash
export CARGO_TARGET_DIR ?= $(HOME)/.cache/lictor-target
KERNEL ?= 6.12
PREFIX ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 600

# What the build needs; the harness adds what the guests need.
BUILD_PACKAGES := clang libelf-dev zlib1g-dev pkg-config make gcc libc6-dev binutils git python3 python3-venv shellcheck

VM := tests/vm/lictor-vm
CHECK := tests/vm/check

.DEFAULT_GOAL := help
.PHONY: help deps rust build release test test-unit test-static test-guest test-too-old test-kills test-host test-llm test-sinks test-http test-ui ui ui-shots demo bench bench-store fuzz model classifier install uninstall clean-cache

help: ## this list
	@echo 'usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo 'programs are built in $$CARGO_TARGET_DIR ($(CARGO_TARGET_DIR))'

deps: rust ## install the Debian packages that are missing, and say which
	@$(VM) deps $(BUILD_PACKAGES)

rust:
	@command -v cargo >/dev/null || { \
	    echo 'cargo is not installed. Lictor needs Rust $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer, which Debian 12 does not have:'; \
	    echo '  install rustup (https://rustup.rs; Debian 13: apt-get install rustup), then: rustup default stable'; \
	    exit 1; } >&2

build: deps ## build the programs (development profile)
	cargo build --workspace

release: deps ## build the programs as they are installed, with the web pages where Node.js is there
	ui/run build --if-node
	cargo build --workspace --release

test: deps ## every check: static, unit tests, the suite in guests on all kernels
	@$(CHECK) all

test-static: deps ## formatting, lints, licences, shell scripts
	@$(CHECK) static

test-unit: deps ## unit tests
	@$(CHECK) unit

test-guest: build ## the whole suite in a guest: make test-guest KERNEL=6.1 (or 6.12, newest)
	@$(CHECK) guest $(KERNEL)

test-too-old: build ## a kernel that is too old is refused with reasons
	@$(CHECK) too-old

test-kills: build ## the daemon is killed 200 times under load in guests: LICTOR_KILLS=N for another number
	@$(CHECK) kills

test-host: build ## the suite on this host, as root, if its kernel can enforce
	@$(CHECK) host

test-http: deps ## everything that the HTTP interface's description allows, asked by schemathesis (fetched once)
	cargo build -p lictor-http --example serve
	@tests/http/schemathesis

test-llm: deps ## a real, small language model judges a dozen executions (fetches 130 MB once)
	@tests/llm/run

test-sinks: deps ## what the sinks send, read by the published OCSF schema and by OTLP's own definitions
	@tests/sinks/run

ui: ## build the web pages into ui/dist
	@ui/run build

test-ui: deps ## the web pages: types, lints, unit tests, and in Chromium against a real server
	@$(CHECK) ui

ui-shots: ## a picture of each page: make ui-shots DIR=FOLDER
	@ui/run shots '$(DIR)'

demo: deps ## a coding session at work, and under attack; at a terminal then in the browser
	ui/run build --if-node
	cargo build --workspace
	@LICTOR_BIN_DIR=$(CARGO_TARGET_DIR)/debug demo/run

bench: release ## what Lictor costs beside AppArmor, Landlock and auditd; writes a table
	@bench/run

bench-store: deps ## how fast the event store takes and finds 10 million events; prints tables
	@dir=$$(mktemp -d "$${TMPDIR:-/var/tmp}/lictor-bench-XXXXXX"); trap 'rm -rf "$$dir"' EXIT; \
	    cargo run --release -p lictor-store --example bench-store -- "$$dir/store" $(EVENTS)

classifier: deps ## fetch what runs the classifier's model, and put both into /usr/lib/lictor (as root)
	@models/fetch-runtime /usr/lib/lictor
	@install -m 644 models/exec-classifier.onnx models/exec-classifier.json /usr/lib/lictor/

model: deps ## train the classifier: make model DATA=FOLDER (see models/MODEL_CARD.md)
	cargo build -p lictor-judge --example featurize
	python3 -m venv $(CARGO_TARGET_DIR)/model-venv
	$(CARGO_TARGET_DIR)/model-venv/bin/pip install -q -r models/requirements.txt
	OMP_NUM_THREADS=1 $(CARGO_TARGET_DIR)/model-venv/bin/python models/train.py --data '$(DATA)' --featurize $(CARGO_TARGET_DIR)/debug/examples/featurize

fuzz: deps ## fuzz each parser of foreign bytes for FUZZ_SECONDS
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked
	@set -e; for target in fuzz/fuzz_targets/*.rs; do \
	    name=$$(basename $$target .rs); echo "==> $$name, $(FUZZ_SECONDS) s"; \
	    RUSTC_BOOTSTRAP=1 cargo fuzz run $$name -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=20; \
	done

install: ## install programs, unit and example policy (run `make release` first, then this as root)
	@install/install.sh --target-dir '$(CARGO_TARGET_DIR)' --prefix '$(PREFIX)' --destdir '$(DESTDIR)'

uninstall: ## remove what install put; settings and records stay
	@install/uninstall.sh --prefix '$(PREFIX)' --destdir '$(DESTDIR)'

clean-cache: ## remove cached kernels, guest images and tools
	rm -rf "$${LICTOR_VM_CACHE:-$$HOME/.cache/lictor-vm}" "$${LICTOR_TOOLS:-$$HOME/.cache/lictor-tools}"
