# All commands of the project. Begin with `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup nif vendor compile run demo demo-cluster test test-rust check-erlang eunit-1 eunit-2 eunit-3 test-all edoc test-checkout test-reproducible test-otp27 test-otp29 test-arm64 test-standalone crashtest clustertest stress simulate audit shellcheck coverage fairness soak abuse prometheus docs site page valgrind browser aoconnect miri fuzz bench install uninstall verify cross dist release-tools release clean

CARGO  ?= cargo
# The jobs of `make test` are for its parts alone: rebar3's hook runs make, and documentation tests look for its jobs.
NO_JOBS := env -u MAKEFLAGS
REBAR  ?= $(NO_JOBS) rebar3
# Runs Erlang with the tests and their support modules on the code path.
TESTED := $(CURDIR)/_build/test/lib/hb_process_monitor
RUN    := $(REBAR) as test compile && erl -noshell -pa $(TESTED)/ebin $(TESTED)/test $(TESTED)/test/*/ $(TESTED)/test/*/*/

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## install missing prerequisites (Debian: Erlang/OTP, rebar3, a C compiler; PostgreSQL for tests)
	@./scripts/setup.sh

# rebar3's hook runs this, so PREBUILT_NIF may also come from the environment.
nif: ## build the Rust library into priv/, or without Rust, copy PREBUILT_NIF=FILE there
	@CARGO='$(CARGO)' PREBUILT_NIF='$(PREBUILT_NIF)' ./scripts/nif.sh priv

# Does not change the host's rebar.config, but prints the line that it needs.
vendor: ## copy the sources INTO=DIR, the checkout of a host such as HyperBEAM: native/ and src/
	@./scripts/vendor.sh '$(INTO)'

compile: ## build everything: _build/default/lib/hb_process_monitor
	@$(REBAR) compile

# Most tests wait more than they compute, so the parts run side by side. Each prints its output when it has ended.
test: setup ## all checks that every commit must pass; under 20 minutes on a clean clone
	@$(MAKE) --no-print-directory --jobs=5 --output-sync=line test-rust check-erlang eunit-1 eunit-2 eunit-3
	@$(MAKE) --no-print-directory test-checkout

test-rust: setup ## the checks and tests of the Rust crates
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(CARGO) doc --workspace --no-deps --document-private-items --locked
	@$(NO_JOBS) $(CARGO) test --workspace --locked

check-erlang: setup ## the checks of the Erlang modules without running them
	@$(REBAR) xref
	@$(REBAR) dialyzer
	@$(MAKE) --no-print-directory edoc

# What `rebar3 eunit` tests, in three parts. Each has every third module, and a build of its own.
eunit-1 eunit-2 eunit-3: setup
	@echo "$@: a third of rebar3 eunit" && REBAR_BASE_DIR=_build/$@ $(REBAR) eunit --module=$$(ls test/*/*_tests.erl | \
	  awk -F/ -v part=$(@:eunit-%=%) 'NR % 3 == part % 3 { sub(/[.]erl$$/, "", $$NF); print $$NF }' | paste -sd,)

# rebar3 prints warnings of edoc, but succeeds.
edoc: ## build the Erlang reference into doc/; a warning is an error
	@said=$$($(REBAR) edoc 2>&1); status=$$?; echo "$$said"; [ $$status -eq 0 ] && ! grep -q 'warning:' <<<"$$said"

test-checkout: setup ## build and run as a rebar3 dependency, and with the sources copied into a host
	@./test/release/checkout/dependency.sh
	@./test/release/checkout/vendored.sh

test-reproducible: setup ## check that a build in another directory gives the same libraries and tarballs; minutes
	@./test/release/checkout/reproducible.sh

# Tests the library that is built here. The script can also run other rebar3 commands.
test-otp27: setup nif ## run the tests on OTP 27, in a Debian trixie that is created once under _build (root, Debian)
	@./test/release/otp/run.sh trixie

test-otp29: setup nif ## run the tests on OTP 29, in a Debian forky that is created once under _build (root, Debian)
	@./test/release/otp/run.sh forky

test-standalone: setup dist ## run the tarball's bin/cron-monitor in a Debian without Erlang, created once under _build (root, Debian)
	@$(REBAR) as test compile
	@./test/release/otp/bare.sh _build/dist/cron-monitor-*.tar.gz

# ONLY=: eunit modules; by default those that an emulator runs in bounded time.
ONLY ?=
test-arm64: setup cross ## run tests on an emulated arm64, in a Debian that is created once under _build (root, Debian on x86-64): ONLY=
	@$(REBAR) as test compile
	@./test/release/otp/arm64.sh $(ONLY)

# Erlang: without tests that replace modules or run other nodes and commands, because their coverage is not counted.
# Rust: without the NIF crate, which runs only in the BEAM. Lines that the simulation reaches are counted.
UNCOUNTED := reload_tests refused_threads_tests crash_tests fairness_tests nif_abuse_tests release_tests install_tests install_refusal_tests install_killed_tests
comma := ,
empty :=
COVERED := $(subst $(empty) $(empty),$(comma),$(filter-out $(UNCOUNTED),$(basename $(notdir $(wildcard test/*/*_tests.erl)))))
coverage: setup ## show the line coverage of the tests, by module and in total
	@$(REBAR) eunit --cover --module=$(COVERED) && $(REBAR) cover --verbose
	@command -v cargo-llvm-cov >/dev/null || $(CARGO) install --locked cargo-llvm-cov
	@$(CARGO) llvm-cov --workspace --exclude bench --locked --summary-only \
	  --ignore-filename-regex '(bench|simulation|hb_process_monitor_nif|tests|_tests)[/.]'

test-all: test ## test and all slow checks: other OTPs, stress, crashes, simulation, fuzz, miri, valgrind, soak, browser, small benchmarks
	@$(MAKE) --no-print-directory shellcheck
	@$(MAKE) --no-print-directory release-tools
	@$(MAKE) --no-print-directory test-reproducible
	@$(MAKE) --no-print-directory test-otp27
	@$(MAKE) --no-print-directory test-otp29
	@$(MAKE) --no-print-directory test-standalone
	@$(MAKE) --no-print-directory test-arm64
	@$(MAKE) --no-print-directory release VERSION=$$(sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml) DRY=yes
	@$(MAKE) --no-print-directory site
	@$(MAKE) --no-print-directory stress
	@$(MAKE) --no-print-directory crashtest KILLS=200
	@./scripts/setup.sh pgbouncer && $(CARGO) test --locked --package cron_postgres --test server pooler
	@$(MAKE) --no-print-directory clustertest KILLS=20
	@$(MAKE) --no-print-directory simulate
	@$(MAKE) --no-print-directory fairness
	@$(MAKE) --no-print-directory prometheus
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory aoconnect
	@$(MAKE) --no-print-directory valgrind
	@$(MAKE) --no-print-directory miri
	@$(MAKE) --no-print-directory fuzz FUZZ_FOR=60
	@$(MAKE) --no-print-directory soak MINUTES=5
	@$(MAKE) --no-print-directory bench QUICK=yes SUITES='backlog decode ticks pingpong steady growth million'
	@$(MAKE) --no-print-directory bench SUITES=neighbours
	@$(MAKE) --no-print-directory bench QUICK=yes SUITES='cluster starts polls'

# Results alone go to the standard output. Without PROCESS and CU, a double of a Compute Unit has both.
DOUBLE := CRON_MAIN=run_double CRON_PATHS='$(TESTED)/ebin:$(TESTED)/test/support:$(TESTED)/test/support/double:$(TESTED)/test/tools/demo'
GIVEN  := PROCESS CU FROM RATE PUSH CHECKPOINT
run: ## monitor processes without HyperBEAM: PROCESS=ID[,ID] CU=URL, FROM= RATE= PUSH= CHECKPOINT=; or a double
	@./scripts/setup.sh >&2
	@$(REBAR) $(if $(PROCESS)$(CU),,as test) compile >&2
	@$(if $(PROCESS)$(CU),,$(DOUBLE)) ./scripts/run.sh $(foreach name,$(GIVEN),$(if $($(name)),'$(name)=$($(name))'))

demo: setup ## show it at work: three monitors, an outage of their CU, the recovery; ends by itself
	@$(RUN) -s demo main

demo-cluster: setup ## show three host nodes on a private PostgreSQL: one is killed, one joins, one stops; ends by itself
	@$(RUN) -s demo_cluster main

# The same SEED= repeats the same kills, as far as the machine's timing allows.
KILLS ?= 10
SEED  ?=
crashtest: setup ## kill -9 a node at KILLS (10) random moments, and check that nothing is lost
	@$(RUN) -run crashtest main $(KILLS) $(SEED)

# SCENES=: faults failover restarts sizes (all by default). With more than 5,000 PROCESSES these have no results. Without
# libfaketime (Debian) no clock jumps, and without root no disk is full.
NODES     ?= 5
PROCESSES ?= 2000
SCENES    ?=
clustertest: setup ## strike host nodes and their PostgreSQL with each fault and KILLS (10) more, and check that nothing is lost: SCENES=
	-@./scripts/setup.sh faketime >/dev/null
	@$(RUN) -run clustertest main $(KILLS) '$(SEED)' $(NODES) $(PROCESSES) '$(SCENES)'

STRESSED ?= 120
stress: setup ## random public calls from eight processes, with kills, for STRESSED (120) seconds each with and without a checkpoint
	@$(RUN) -run stress main $(STRESSED) $(or $(SEED),1)

SCHEDULES ?= 1000000
simulate: ## simulate a million random schedules of one node, and a million of several (SCHEDULES=, first SEED=); minutes
	@$(CARGO) build --release --locked --quiet --package simulation
	@$${CARGO_TARGET_DIR:-target}/release/simulate $(SCHEDULES) $(or $(SEED),1)
	@$${CARGO_TARGET_DIR:-target}/release/simulate --cluster $(SCHEDULES) $(or $(SEED),1)

# Checks the rules in deny.toml and finds unused dependencies. Says so if the advisories cannot be reached.
ADVISORIES := https://github.com/rustsec/advisory-db
audit: ## check Rust dependencies: licences, sources, duplicates, unused ones, known vulnerabilities
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	@command -v cargo-machete >/dev/null || $(CARGO) install --locked cargo-machete
	@$(CARGO) deny --locked check bans licenses sources
	@$(CARGO) machete
	@if timeout 20 git ls-remote -q $(ADVISORIES) HEAD >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
	  else echo "audit: $(ADVISORIES) is not reachable: known vulnerabilities were NOT checked"; fi

shellcheck: ## check the shell scripts with shellcheck (Debian)
	@./scripts/setup.sh shellcheck >/dev/null
	@git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --external-sources

# Compares the p99 with and without a third of bad monitors, alternating, twice each.
MONITORS ?= 5000
SECONDS  ?= 80
fairness: setup ## measure how bad monitors affect the others: MONITORS (5000), a third of which hang, drip or send garbage
	@$(RUN) -run fairness main $(MONITORS) $(SECONDS)

# The same SEED= repeats the same faults, as far as the machine's timing allows.
MINUTES  ?= 20
SOAKED   ?= 300
soak: setup ## run SOAKED (300) monitors for MINUTES (20) with recurring faults: _build/soak/soak.svg
	@$(RUN) -run soak main $(MINUTES) $(SOAKED) $(or $(SEED),77)

CALLS ?= 1000000
abuse: setup ## call the library CALLS (a million) times with wrong terms and stale handles
	@$(RUN) -run abuse main $(CALLS) $(or $(SEED),1)

prometheus: ## let a real Prometheus scrape a node, and run all queries of the Grafana dashboard and the alerts (root, Debian)
	@./scripts/setup.sh prometheus
	@$(RUN) -s scraped main

# SAVE=yes also replaces docs/dashboard.png, with a picture of a page that has been open for two minutes.
aoconnect: setup ## start and end monitoring with AO's own client from npm (Node)
	@./scripts/setup.sh npm
	@mkdir -p _build/aoconnect && cp test/tools/aoconnect/*.mjs test/tools/aoconnect/package.json _build/aoconnect
	@cd _build/aoconnect && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --silent
	@$(RUN) -run aoconnect_run main _build/aoconnect

browser: setup ## test the dashboard in a headless Chromium (root, Debian)
	@./scripts/setup.sh chromium
	@$(RUN) -run page_seen main '$(SAVE)'

site: setup ## build the documents and the references of Erlang and Rust as a site with a search, and check its links: _build/site/
	@CARGO='$(CARGO)' ./scripts/site.sh

docs: compile ## generate docs/metrics.md, docs/options.md and docs/errors.md from their tables
	@$(RUN) -s metrics_doc main
	@$(RUN) -s options_doc main
	@UPDATE_DOCS=yes $(CARGO) test -q --locked -p cron_engine --test all errors_doc

page: compile ## generate the dashboard's module from erlang/dashboard/page/
	@$(RUN) -s dashboard_page main

valgrind: ## run a busy node under valgrind: no error may have the library in its stack
	@./scripts/setup.sh valgrind
	@./test/tools/valgrind/run.sh

miri: ## run the engine's unit tests under miri (needs a nightly toolchain with miri)
	@PROPTEST_CASES=4 MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --package cron_engine --lib
	@MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --package cron_engine --test all corpus

# Add inputs that fail to test/rust/fuzz/seeds, which every `cargo test` replays.
FUZZED   ?= page engine
FUZZ_FOR ?= 60
fuzz: ## fuzz FUZZED (page engine) for FUZZ_FOR (60) s each (needs a nightly toolchain)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	@for target in $(FUZZED); do \
	  mkdir -p test/rust/fuzz/corpus/$$target && \
	  $(CARGO) +nightly fuzz run --fuzz-dir test/rust/fuzz $$target test/rust/fuzz/corpus/$$target test/rust/fuzz/seeds/$$target \
	    -- -max_total_time=$(FUZZ_FOR) -dict=test/rust/fuzz/page.dict -timeout=10 -print_final_stats=1 || exit 1; \
	done

# SUITES=: backlog decode ticks pingpong steady growth (the default), million, neighbours, cluster, starts, polls.
# QUICK=yes: small sizes, to check that everything works. RESULTS=: size of a backlog. FLEET=: processes of an idle cluster, and of starts.
# SAVE=yes: save to docs/benchmarks.
SUITES  ?=
QUICK   ?=
SAVE    ?=
RESULTS ?=
FLEET   ?=
bench: setup ## compare with plain Erlang and with the minimum: SUITES=, QUICK=yes, SAVE=yes; half an hour
	@CARGO='$(CARGO)' ./test/tools/bench/run.sh '$(SUITES)' '$(QUICK)' '$(SAVE)' '$(RESULTS)' '$(FLEET)'

# LIVE=yes: also while a node runs on it. FORCE=yes: also replace files that were modified since they were installed.
install: compile ## install into a built release of the host: RELEASE=_build/default/rel/hb
	@./scripts/release.sh install "$(RELEASE)"

uninstall: ## restore the RELEASE, byte for byte
	@./scripts/release.sh uninstall "$(RELEASE)"

verify: ## show what is installed in the RELEASE, whether it loads, and what it finds of the host
	@./scripts/release.sh verify "$(RELEASE)"

cross: ## build the library for the other machine, arm64 or x86-64: _build/cross/ (Rust's standard library for it, a cross compiler)
	@./scripts/cross.sh _build/cross

# A library of an earlier build must not get into a tarball. What cannot be included here is said.
BUILT := _build/default/lib/hb_process_monitor
dist: compile ## make tarballs that need no Rust, rebar3 and make, to install and of bin/cron-monitor: _build/dist/; GLIBC=
	@rm -rf _build/cross _build/sbom _build/dist
	@if ./scripts/cross.sh _build/cross possible; then ./scripts/cross.sh _build/cross; fi
	@if command -v cargo-cyclonedx >/dev/null; then ./scripts/sbom.sh _build/sbom x86_64 aarch64; \
	  else echo "dist: no SBOM: cargo-cyclonedx is missing (cargo install --locked cargo-cyclonedx)" >&2; fi
	@./scripts/runtime.sh _build/runtime
	@GLIBC='$(GLIBC)' ./scripts/dist.sh $(BUILT) _build/dist _build/cross $(if $(shell command -v cargo-cyclonedx),_build/sbom)
	@./scripts/standalone.sh $(BUILT) _build/dist _build/runtime $(if $(shell command -v cargo-cyclonedx),_build/sbom)

# Releases are made on x86-64.
CYCLONEDX := 0.5.9
release-tools: ## install what a release needs in addition: a cross compiler, Rust's standard library for arm64, cargo-cyclonedx
	@./scripts/setup.sh aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu,libc6-dev-arm64-cross
	@./scripts/cross.sh _build/cross possible 2>/dev/null || rustup target add aarch64-unknown-linux-gnu
	@command -v cargo-cyclonedx >/dev/null || $(CARGO) install --locked cargo-cyclonedx --version $(CYCLONEDX)

release: setup ## check a version, test it, and leave its tarballs, sums and notes in _build/release: VERSION=, DRY=yes
	@DRY='$(DRY)' ./scripts/prepare.sh '$(VERSION)'

clean: ## remove everything that was built
	@rm -rf target _build priv doc
