# butterdock. `make` shows every command.

CARGO ?= cargo
# Tests that mount volumes at the same time; more than there are cores makes them slower.
THREADS ?= $(shell nproc)
# FULL=1 make test: more rounds, and another seed at each run, for the tests that go by chance.
export FULL ?=
# For `make bench`, for instance: make bench BENCH="--only ab --pairs 2"
BENCH ?=
# The same for the half of it that measures the service.
SERVICE_BENCH ?=

TARGET := $(or $(CARGO_TARGET_DIR),target)

# For `make install`: a folder to install below, where programs and data go, where the configuration goes, and where
# the two programs and what is made beside them lie.
DESTDIR ?=
PREFIX ?= /usr
SYSCONFDIR ?= /etc
BUILT ?= $(TARGET)/release

# Under sudo Rust is that of the caller, and so is what gets built.
ifneq ($(SUDO_USER),)
ifneq ($(SUDO_USER),root)
CALLER_HOME := $(shell getent passwd $(SUDO_USER) | cut -d: -f6)
export PATH := $(PATH):$(CALLER_HOME)/.cargo/bin
export CARGO_HOME ?= $(CALLER_HOME)/.cargo
export RUSTUP_HOME ?= $(CALLER_HOME)/.rustup
AS_CALLER := sudo -u $(SUDO_USER) -H env PATH="$(PATH)" CARGO_HOME="$(CARGO_HOME)" RUSTUP_HOME="$(RUSTUP_HOME)"
endif
endif

.PHONY: help build install deb package-test check test bench demo clean

help: ## Show this
	@echo 'make COMMAND, one of:'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build both programs, optimised, into target/release; man page and completions into target/release/share
	$(AS_CALLER) $(CARGO) build --release -p butterdockd -p butterdock

install: ## Put what was built where it belongs: DESTDIR= PREFIX=/usr SYSCONFDIR=/etc BUILT=target/release; builds nothing
	@BUILT="$(BUILT)" PREFIX="$(PREFIX)" SYSCONFDIR="$(SYSCONFDIR)" daemon/data/install "$(DESTDIR)"

deb: ## Make the Debian package: target/debian/butterdock_VERSION_ARCHITECTURE.deb
	@tests/demo/needs deb
	$(AS_CALLER) $(CARGO) build --release -p butterdockd -p butterdock
	$(AS_CALLER) daemon/data/debian/build "$(TARGET)"

package-test: deb ## Install the package in a small Debian with systemd, back up, restore, purge; needs root and, once, a mirror
	@tests/demo/needs package-test
	tests/package/run $(CURDIR)/target/debian/butterdock_*.deb

check: ## Format, lints, and the tests that need neither root nor a volume; under two minutes
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) test -p butterdock -p butterdock-dbus -p butterdockd -p butterdock-stream -p butterdock-receive -p butterdock-worker -p butterdock-service -- --skip privileged_
	$(CARGO) test -p butterdock-tests --test installed

test: ## Every test; needs root, because most of them mount loop volumes; FULL=1 for all rounds of those that go by chance
	@tests/demo/needs test
	$(AS_CALLER) $(CARGO) build --workspace --bins
	$(AS_CALLER) $(CARGO) test --workspace --no-run
	tests/leftovers $(CARGO) test --workspace --no-fail-fast -- --test-threads=$(THREADS)

demo: ## The story: a drive is plugged in, enrolled, backed up, and restored from; needs root, leaves nothing behind
	@tests/demo/needs demo
	$(AS_CALLER) $(CARGO) build --release -p butterdockd -p butterdock
	@tests/demo/run "$(TARGET)/release"

bench: ## Side by side with `btrfs receive`, kept in tests/benches/RESULTS.md; needs root and half an hour
	@tests/demo/needs bench
	$(AS_CALLER) $(CARGO) build --release -p butterdockd -p butterdock
	$(CARGO) bench -p butterdock-tests --bench receive -- --record $(CURDIR)/tests/benches/RESULTS.md $(BENCH)
	$(CARGO) bench -p butterdock-tests --bench service -- --record $(CURDIR)/tests/benches/RESULTS.md $(SERVICE_BENCH)
	$(CARGO) bench -p butterdock-tests --bench backup -- --record $(CURDIR)/tests/benches/RESULTS.md

.PHONY: cross-test layer scripts vm-test

cross-test: ## The libraries on aarch64, armv7 and s390x, emulated, with Rust 1.85; for Debian 12, about six minutes
	CARGO="$(CARGO)" tests/cross/run "$(TARGET)/cross" $(MACHINES)

# For `make vm-test`: `short` boots, backs up and pulls; `whole` adds the encrypted drive, the power cut and the purge.
VM ?= whole
# What is left to chance there is that of this seed; of another at each run where it is not set.
SEED ?=

vm-test: deb ## A machine (QEMU) boots the package, USB drives come and go; VM=short for half of it; needs root and, once, a mirror
	@tests/demo/needs vm-test
	$(AS_CALLER) $(CARGO) build -p butterdock-tests --bin vm
	image=$$(tests/vm/image $(CURDIR)/target/debian/butterdock_*.deb) && "$(TARGET)/debug/vm" "$$image" $(VM) $(SEED)

layer: ## The Yocto layer: oelint-adv, the schema of the kas files, our own checks; takes the tools from PyPI
	yocto/check
	$(CARGO) test -p butterdock-tests --test layer

scripts: ## Lint the shell scripts (shellcheck, the package of that name); every remark is an error
	grep -rlE --exclude-dir=target --exclude-dir=.git '^(#!/bin/(ba)?sh|# shellcheck shell=)' . | xargs shellcheck

clean: ## Remove what was built
	$(CARGO) clean
