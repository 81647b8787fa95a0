# The two commands that matter: `make run` and `make test`. Both set up what is missing first.
SHELL := /bin/bash
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
BIN := $(or $(CARGO_TARGET_DIR),target)/release
AXE := $(or $(CARGO_TARGET_DIR),target)/axe.min.js

.PHONY: static image install uninstall dist documents run build console screenshots setup setup-tests test unit e2e check bench torture clean-cluster

run: setup build
	$(BIN)/openshift start $(ARGS)

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh tests

build: console
	$(CARGO) build --release --workspace --all-features
	@ln -sf openshift $(BIN)/osc

# The web console: built for browsers in a workspace of its own, then embedded in the server.
CONSOLE := $(or $(CARGO_TARGET_DIR),target)/console
console:
	$(CARGO) build --release --locked --manifest-path tools/console-build/Cargo.toml --target-dir $(CONSOLE)
	$(CONSOLE)/release/console-build . $(CONSOLE)

test: setup-tests check unit e2e

# Everything that needs no engine; the kernel's rules are tested in network namespaces of their own.
unit: console
	$(CARGO) test --release --workspace --all-features
	$(CARGO) test --release --locked --manifest-path frontend/Cargo.toml --target-dir $(CONSOLE)

# Whole clusters on the real engine: the tutorial, word for word, and what else pods are promised.
e2e: build
	tests/journeys/run.sh $(BIN)
	tests/pods/run.sh $(BIN)
	tests/faults/run.sh $(BIN)
	tests/machines/run.sh $(BIN)
	if command -v chromedriver >/dev/null; then \
	  $(BIN)/browser $(BIN)/openshift --axe=$(AXE) && \
	  tests/pods/image.sh pilothouse-test/tools:1 && $(BIN)/browser $(BIN)/openshift --docker=pilothouse-test/tools:1; \
	else echo "skipped: no chromedriver is installed"; fi

# Pictures of every page of the console, light and dark, wide and narrow.
screenshots: setup-tests build
	$(BIN)/browser $(BIN)/openshift --axe=$(AXE) --pictures=$(or $(TO),target/screenshots)

# Format, lints, and the rules of tests/tidy.rs.
check:
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path frontend/Cargo.toml --check
	$(CARGO) fmt --manifest-path tools/console-build/Cargo.toml --check
	$(CARGO) clippy --release --workspace --all-features --all-targets -- -D warnings
	$(CARGO) test --release --workspace --all-features --test tidy

# Every figure beside its floor or peer, measured in the same run.
bench: setup build
	$(CARGO) bench --profile release --workspace --all-features --bench durable --bench cluster --bench proxy --bench scale
	if command -v chromedriver >/dev/null; then $(BIN)/browser $(BIN)/openshift --bench; else echo "console: left out, no chromedriver is installed"; fi

# Ten minutes of faults on real Docker, a hundred thousand simulated clusters, and long runs of what `make test` does briefly.
# SEEDS=0-999 and TORTURE_SECONDS=60 make it shorter; what fails prints how to do it again.
SEEDS ?= 0-99999
TORTURE_SECONDS ?= 600
torture: setup-tests build
	SIMULATION_SEEDS=$(SEEDS) $(CARGO) test --release --workspace --all-features --test simulation -- --nocapture
	HISTORY_SEEDS=2000 $(CARGO) test --release --workspace --all-features --test history -- --nocapture
	STORE_SEEDS=30 $(CARGO) test --release --workspace --all-features -p store --lib -- power
	$(CARGO) test --release --workspace --all-features --test floods -- --nocapture
	tests/faults/run.sh $(BIN) $(TORTURE_SECONDS)

# What runs elsewhere: one program without shared libraries, in a target folder of its own.
DIST_PROFILE ?= dist
HOST = $(shell PATH="$(PATH)" rustc -vV | sed -n 's/^host: //p')
STATIC := $(or $(CARGO_TARGET_DIR),target)/static
STATIC_BIN := $(STATIC)/$(HOST)/$(DIST_PROFILE)/openshift
static: console
	CARGO_ENCODED_RUSTFLAGS="$$(printf '%s\037' -C target-feature=+crt-static --remap-path-prefix=$(CURDIR)=. --remap-path-prefix=$(HOME)/.cargo=cargo | sed 's/.$$//')" \
	  $(CARGO) build --profile $(DIST_PROFILE) --locked --all-features -p backend --bin openshift --target $(HOST) --target-dir $(STATIC)

# Manual pages and shell completions.
DOCUMENTS := $(or $(CARGO_TARGET_DIR),target)/documents
documents: build
	$(CARGO) build --release --workspace --all-features --examples
	@rm -rf $(DOCUMENTS)
	$(BIN)/examples/documents $(DOCUMENTS)

# The server as one image: docker run -d --name openshift --cap-add=NET_ADMIN --cap-add=NET_RAW --net=host \
#   -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/openshift:/var/lib/openshift -v /run/openshift:/run/openshift openshift/origin
IMAGE ?= openshift/origin
image: setup static
	scripts/package/image.sh $(STATIC_BIN) $(IMAGE)

# Programs, manual pages, completions and the unit openshift-master; takes DESTDIR, PREFIX and UNITDIR.
install: documents
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" UNITDIR="$(UNITDIR)" scripts/package/install.sh install $(BIN)/openshift $(DOCUMENTS)

uninstall: documents
	DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" UNITDIR="$(UNITDIR)" scripts/package/install.sh uninstall $(BIN)/openshift $(DOCUMENTS)

# What is released: static programs, checksums, bill of materials; the same commit gives the same files.
dist: static documents
	$(CARGO) metadata --locked --format-version 1 --filter-platform $(HOST) --all-features | $(BIN)/examples/sbom >$(DOCUMENTS)/sbom.cdx.json
	scripts/package/dist.sh $(STATIC_BIN) $(DOCUMENTS) $(DOCUMENTS)/sbom.cdx.json $(or $(CARGO_TARGET_DIR),target)/release-files

clean-cluster: build
	$(BIN)/openshift ex clean
