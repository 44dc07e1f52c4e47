# butterdock. `make` shows every command.

CARGO ?= cargo
# Tests that run at the same time (most of them mount volumes); more than the number of cores makes them slower.
THREADS ?= $(shell nproc)
# FULL=1 make test: more rounds, and a new seed for each run, for the randomised tests.
export FULL ?=
# For `make bench`, for example: make bench BENCH="--only ab --pairs 2"
BENCH ?=
# The same for the part that measures the service.
SERVICE_BENCH ?=

TARGET := $(or $(CARGO_TARGET_DIR),target)

# For `make install`: the folder to install below, the prefix of programs and data, the folder of the configuration, and the
# folder of the built files.
DESTDIR ?=
PREFIX ?= /usr
SYSCONFDIR ?= /etc
BUILT ?= $(TARGET)/release
# Of the packages: `dist` is smaller and takes longer to build; CI uses the profile of its other steps.
PROFILE ?= $(if $(CI),release,dist)
# The files of these packages alone: butterdock, butterdock-cockpit, butterdock-desktop (default: all).
PACKAGE ?=

# Under sudo, build as the calling user and with that user's Rust.
ifneq ($(SUDO_USER),)
ifneq ($(SUDO_USER),root)
CALLER_HOME := $(shell getent passwd $(SUDO_USER) | cut -d: -f6)
export PATH := $(PATH):$(CALLER_HOME)/.cargo/bin
export CARGO_HOME ?= $(CALLER_HOME)/.cargo
export RUSTUP_HOME ?= $(CALLER_HOME)/.rustup
AS_CALLER := sudo -u $(SUDO_USER) -H env PATH="$(PATH)" CARGO_HOME="$(CARGO_HOME)" RUSTUP_HOME="$(RUSTUP_HOME)"
endif
endif

# The packages of the programs.
PROGRAMS := -p butterdockd -p butterdock -p butterdock-net -p butterdock-agent
# The window needs GTK to build. It is built together with the programs, so that both use the same builds of crates.
WINDOW := -p butterdock-window

# All packages that need no GTK.
NO_WINDOW := --workspace --exclude butterdock-window

.PHONY: help build install deb package-test check test bench demo clean

help: ## Show this help
	@echo 'make COMMAND, one of:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the programs into target/release (optimised), man page and completions into target/release/share; the window where libadwaita is
	$(AS_CALLER) $(CARGO) build --release $(PROGRAMS) $(if $(shell pkg-config --exists 'libadwaita-1 >= 1.2' && echo found),$(WINDOW))

install: ## Install the built files: DESTDIR= PREFIX=/usr SYSCONFDIR=/etc BUILT=target/release PACKAGE=; does not build
	@BUILT="$(BUILT)" PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" PACKAGE="$(PACKAGE)" daemon/data/install "$(DESTDIR)"

deb: ## Make the Debian packages butterdock, butterdock-desktop and butterdock-cockpit in target/debian
	@tests/demo/needs deb
	$(AS_CALLER) $(CARGO) build --profile $(PROFILE) $(PROGRAMS) $(WINDOW)
	$(AS_CALLER) daemon/data/debian/build "$(TARGET)/$(PROFILE)"

package-test: deb ## Install the package in a small Debian with systemd, back up, restore, purge; needs root, the first run a mirror
	@tests/demo/needs package-test
	tests/package/run $(CURDIR)/target/debian/butterdock_*.deb

check: ## Format, lints, and the tests that need no root and no volume; under two minutes
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(NO_WINDOW) --all-targets --features butterdock-tests/screen -- -D warnings
	$(CARGO) test -p butterdock -p butterdock-dbus -p butterdockd -p butterdock-stream -p butterdock-receive -p butterdock-worker -p butterdock-service -p butterdock-net -p butterdock-net-protocol -p butterdock-agent -p butterdock-desktop -p butterdock-window-model -- --skip privileged_
	$(CARGO) test -p butterdock-tests --test installed

test: ## Every test; needs root, because most tests mount loop volumes; FULL=1 for all rounds of randomised tests
	@tests/demo/needs test
	$(AS_CALLER) $(CARGO) build $(NO_WINDOW) --bins
	$(AS_CALLER) $(CARGO) test $(NO_WINDOW) --no-run
	tests/leftovers $(CARGO) test $(NO_WINDOW) --no-fail-fast -- --test-threads=$(THREADS)

# WEB=1 make demo: the page in place of the command line.
WEB ?=

demo: ## Plug in a drive, enrol it, back up, restore; WEB=1 leaves the page open instead; needs root, removes everything afterwards
	@tests/demo/needs $(if $(WEB),web-test,demo)
	$(AS_CALLER) $(CARGO) build --release $(PROGRAMS)
	@$(if $(WEB),node web/test/demo.mjs outside,tests/demo/run) "$(TARGET)/release"

bench: ## Compare with `btrfs receive`; writes tests/benches/RESULTS.md; needs root and half an hour
	@tests/demo/needs bench
	$(AS_CALLER) $(CARGO) build --release $(PROGRAMS)
	$(CARGO) bench -p butterdock-tests --bench receive -- --record $(CURDIR)/tests/benches/RESULTS.md $(BENCH)
	$(CARGO) bench -p butterdock-tests --bench service -- --record $(CURDIR)/tests/benches/RESULTS.md $(SERVICE_BENCH)
	$(CARGO) bench -p butterdock-tests --bench backup -- --record $(CURDIR)/tests/benches/RESULTS.md

.PHONY: cross-test layer scripts vm-test

cross-test: ## Test the libraries on emulated aarch64, armv7 and s390x with Rust 1.85; on Debian 12, about six minutes
	CARGO="$(CARGO)" tests/cross/run "$(TARGET)/cross" $(MACHINES)

# For `make vm-test`: `short` boots, backs up and unplugs; `whole` adds the encrypted drive, the power cut and the purge.
VM ?= whole
# The seed of its random choices (default: a new one for each run).
SEED ?=

vm-test: deb web/node_modules/.package-lock.json ## Boot the packages in QEMU, plug and unplug USB drives; VM=short runs half; needs root, the first run a mirror
	@tests/demo/needs vm-test
	$(AS_CALLER) $(CARGO) build -p butterdock-tests --bin vm
	image=$$(tests/vm/image $(CURDIR)/target/debian/butterdock_*.deb $(CURDIR)/target/debian/butterdock-cockpit_*.deb) && "$(TARGET)/debug/vm" "$$image" $(VM) $(SEED)

.PHONY: web web-check web-test web-watch

# The compiler and the libraries of the page, in the versions of its lock file; no script of a package runs.
web/node_modules/.package-lock.json: web/package-lock.json
	@tests/demo/needs web
	cd web && npm ci --ignore-scripts --no-audit --no-fund

web: web/node_modules/.package-lock.json ## Build the page for Cockpit into web/dist
	cd web && node build.mjs

web-watch: web/node_modules/.package-lock.json ## Build it again after each change
	cd web && node build.mjs --watch

web-check: web ## Check the page: types, translations, its size, and that web/dist is what the sources make
	cd web && npx --no-install tsc --noEmit && node po/check.mjs && node codes.mjs && node size.mjs && node --test test/model.test.mjs
	git diff --exit-code --stat -- web/dist

web-test: web-check ## Test the page with the service, polkit, Cockpit and Chromium; needs root
	@tests/demo/needs web-test
	$(AS_CALLER) $(CARGO) build --bin butterdockd --bin butterdock
	tests/leftovers web/test/run "$(TARGET)/debug"

.PHONY: desktop-test

desktop-test: ## The agent with programs of desktops, and the window; pictures in target/desktop-pictures; FULL=1 also mako; needs root
	@tests/demo/needs desktop-test
	desktop-file-validate desktop/data/*.desktop
	appstreamcli validate --no-net desktop/data/org.butterdock.Window.metainfo.xml
	$(AS_CALLER) $(CARGO) clippy $(WINDOW) --all-targets -- -D warnings
	$(AS_CALLER) $(CARGO) build --bin butterdockd --bin butterdock-agent
	$(AS_CALLER) $(CARGO) build --release $(PROGRAMS) $(WINDOW)
	$(AS_CALLER) $(CARGO) test -p butterdock-tests --features screen --test desktop --no-run
	BUTTERDOCK_PICTURES=$(abspath $(TARGET))/desktop-pictures BUTTERDOCK_WINDOW=$(abspath $(TARGET))/release/butterdock-window \
		tests/leftovers $(CARGO) test -p butterdock-tests --features screen --test desktop -- automount:: pictures:: window $(if $(FULL),mako::) --test-threads=$(THREADS)

layer: ## Check the Yocto layer: oelint-adv, the schema of the kas files, own checks; downloads the tools from PyPI
	yocto/check
	$(CARGO) test -p butterdock-tests --test layer

scripts: ## Lint the shell scripts with shellcheck; every remark is an error
	grep -rlE --exclude-dir=target --exclude-dir=node_modules --exclude-dir=.git '^(#!/bin/(ba)?sh|# shellcheck shell=)' . | xargs shellcheck

clean: ## Remove built files
	$(CARGO) clean
