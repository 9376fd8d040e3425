# Every command of the project. The README's two are `make demo` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup nif vendor compile demo test test-all edoc test-checkout test-reproducible test-otp27 test-otp29 crashtest stress simulate audit coverage fairness soak abuse prometheus docs page valgrind browser miri fuzz bench install uninstall verify dist clean

CARGO  := cargo
REBAR  := rebar3
# What follows it is run with the tests and their support on the code path, wherever it goes.
TESTED := $(CURDIR)/_build/test/lib/hb_process_monitor
RUN    := $(REBAR) as test compile && erl -noshell -pa $(TESTED)/ebin $(TESTED)/test $(TESTED)/test/*/ $(TESTED)/test/*/*/

help: ## show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: ## install what is missing (Debian: Erlang/OTP, rebar3, a C compiler)
	@./scripts/setup.sh

# The variable may as well be one of the environment: rebar3's hook runs this.
nif: ## build the Rust library into priv/, or, without Rust, take PREBUILT_NIF=FILE for it
	@CARGO='$(CARGO)' PREBUILT_NIF='$(PREBUILT_NIF)' ./scripts/nif.sh priv

# The host's rebar.config is left alone: what it needs is printed.
vendor: ## copy sources INTO=DIR, the checkout of a host such as HyperBEAM: native/ and src/
	@./scripts/vendor.sh '$(INTO)'

compile: ## build everything: _build/default/lib/hb_process_monitor
	@$(REBAR) compile

test: setup ## everything that must be true of a commit, on a clean clone under 20 minutes
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(CARGO) doc --workspace --no-deps --document-private-items --locked
	@$(CARGO) test --workspace --locked
	@$(REBAR) xref
	@$(REBAR) dialyzer
	@$(MAKE) --no-print-directory edoc
	@$(REBAR) eunit
	@$(MAKE) --no-print-directory test-checkout

# rebar3 prints what edoc warns of, and succeeds all the same.
edoc: ## build the Erlang reference into doc/; a warning is an error
	@said=$$($(REBAR) edoc 2>&1); status=$$?; echo "$$said"; [ $$status -eq 0 ] && ! grep -q 'warning:' <<<"$$said"

test-checkout: setup ## as a rebar3 dependency, and with its sources copied into a host's: both build and run
	@./test/release/checkout/dependency.sh
	@./test/release/checkout/vendored.sh

test-reproducible: setup ## the library built in another directory is the same file; minutes
	@./test/release/checkout/reproducible.sh

# The library file is the one that is built here. The script can run other rebar3 commands as well.
test-otp27: setup nif ## the suite on OTP 27, in a Debian trixie that is made once under _build (root, Debian)
	@./test/release/otp/run.sh trixie

test-otp29: setup nif ## the suite on OTP 29, in a Debian forky that is made once under _build (root, Debian)
	@./test/release/otp/run.sh forky

# Erlang without the tests that exchange modules, or that run nodes and commands of their own: neither is counted.
# Rust without the NIF crate, which runs in the BEAM alone; what the simulation reaches counts.
UNCOUNTED := reload_tests refused_threads_tests crash_tests fairness_tests nif_abuse_tests release_tests install_tests install_refusal_tests install_killed_tests
comma := ,
empty :=
COVERED := $(subst $(empty) $(empty),$(comma),$(filter-out $(UNCOUNTED),$(basename $(notdir $(wildcard test/*/*_tests.erl)))))
coverage: setup ## which lines the tests run: by module, and in all
	@$(REBAR) eunit --cover --module=$(COVERED) && $(REBAR) cover --verbose
	@command -v cargo-llvm-cov >/dev/null || $(CARGO) install --locked cargo-llvm-cov
	@$(CARGO) llvm-cov --workspace --exclude bench --locked --summary-only \
	  --ignore-filename-regex '(bench|simulation|hb_process_monitor_nif|tests|_tests)[/.]'

test-all: test ## and what is slow: a second build, kills, schedules, 5000 monitors, a Prometheus, a browser, valgrind, fuzz, miri, soak, benchmarks in small
	@$(MAKE) --no-print-directory test-reproducible
	@$(MAKE) --no-print-directory test-otp27
	@$(MAKE) --no-print-directory test-otp29
	@$(MAKE) --no-print-directory stress
	@$(MAKE) --no-print-directory crashtest KILLS=200
	@$(MAKE) --no-print-directory simulate
	@$(MAKE) --no-print-directory fairness
	@$(MAKE) --no-print-directory prometheus
	@$(MAKE) --no-print-directory browser
	@$(MAKE) --no-print-directory valgrind
	@$(MAKE) --no-print-directory miri
	@$(MAKE) --no-print-directory fuzz FUZZ_FOR=60
	@$(MAKE) --no-print-directory soak MINUTES=5
	@$(MAKE) --no-print-directory bench QUICK=yes SUITES='backlog decode ticks pingpong steady growth million'
	@$(MAKE) --no-print-directory bench SUITES=neighbours

demo: setup ## see it work: three monitors, an outage of their CU, the recovery; ends by itself
	@$(RUN) -s demo main

# SEED= makes the same kills again, as far as the machine does the same.
KILLS ?= 10
SEED  ?=
crashtest: setup ## kill -9 a node at random moments, KILLS times (10), and see that nothing is lost
	@$(RUN) -run crashtest main $(KILLS) $(SEED)

STRESSED ?= 120
stress: setup ## all public calls at random from eight processes, against kills, STRESSED (120) seconds each with a checkpoint and without
	@$(RUN) -run stress main $(STRESSED) $(or $(SEED),1)

SCHEDULES ?= 1000000
simulate: ## a million schedules in simulation (SCHEDULES=, SEED= the first one's); minutes
	@$(CARGO) build --release --locked --quiet --package simulation
	@$${CARGO_TARGET_DIR:-target}/release/simulate $(SCHEDULES) $(or $(SEED),1)

# What is in deny.toml, and dependencies that nothing uses. Of the advisories it is said where they could not be had.
ADVISORIES := https://github.com/rustsec/advisory-db
audit: ## licences, sources, twofold and unused dependencies of the Rust half, and known vulnerabilities
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	@command -v cargo-machete >/dev/null || $(CARGO) install --locked cargo-machete
	@$(CARGO) deny --locked check bans licenses sources
	@$(CARGO) machete
	@if timeout 20 git ls-remote -q $(ADVISORIES) HEAD >/dev/null 2>&1; then $(CARGO) deny --locked check advisories; \
	  else echo "audit: $(ADVISORIES) is not reachable: known vulnerabilities were NOT looked for"; fi

# Figures: p99 with a third of bad monitors against without, in turn, twice each.
MONITORS ?= 5000
SECONDS  ?= 80
fairness: setup ## what MONITORS (5000), of which a third hang, drip or talk garbage, cost each other
	@$(RUN) -run fairness main $(MONITORS) $(SECONDS)

# The faults of a SEED are the same each time, as far as the machine does the same.
MINUTES  ?= 20
SOAKED   ?= 300
soak: setup ## SOAKED (300) monitors for MINUTES (20), with faults coming and going: _build/soak/soak.svg
	@$(RUN) -run soak main $(MINUTES) $(SOAKED) $(or $(SEED),77)

CALLS ?= 1000000
abuse: setup ## CALLS (a million) of the library with wrong terms and stale handles
	@$(RUN) -run abuse main $(CALLS) $(or $(SEED),1)

prometheus: ## a real Prometheus scrapes a node, and is asked all that the dashboard and the alerts ask (root, Debian)
	@./scripts/setup.sh prometheus
	@$(RUN) -s scraped main

# SAVE=yes: and write docs/dashboard.png anew, of a page that has been open for two minutes.
browser: setup ## the operations page in a Chromium without a window (root, Debian)
	@./scripts/setup.sh chromium
	@$(RUN) -run page_seen main '$(SAVE)'

docs: compile ## generate docs/metrics.md, docs/options.md and docs/errors.md from their tables
	@$(RUN) -s metrics_doc main
	@$(RUN) -s options_doc main
	@UPDATE_DOCS=yes $(CARGO) test -q --locked -p cron_engine --test all errors_doc

page: compile ## generate the dashboard's module from erlang/dashboard/page/
	@$(RUN) -s dashboard_page main

valgrind: ## a node at work under valgrind: no error with the library in its stack
	@./scripts/setup.sh valgrind
	@./test/tools/valgrind/run.sh

miri: ## the core crate's unit tests under miri (a nightly toolchain with miri)
	@$(CARGO) +nightly miri test --package cron_engine --lib
	@MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +nightly miri test --package cron_engine --test all corpus

# What is found goes into test/rust/fuzz/seeds, which every `cargo test` plays.
FUZZED   ?= page engine
FUZZ_FOR ?= 60
fuzz: ## FUZZED (page engine) for FUZZ_FOR (60) s each (a nightly toolchain and cargo-fuzz)
	@command -v cargo-fuzz >/dev/null || $(CARGO) install --locked cargo-fuzz
	@for target in $(FUZZED); do \
	  mkdir -p test/rust/fuzz/corpus/$$target && \
	  $(CARGO) +nightly fuzz run --fuzz-dir test/rust/fuzz $$target test/rust/fuzz/corpus/$$target test/rust/fuzz/seeds/$$target \
	    -- -max_total_time=$(FUZZ_FOR) -dict=test/rust/fuzz/page.dict -timeout=10 -print_final_stats=1 || exit 1; \
	done

# SUITES=: some of backlog decode ticks pingpong steady growth, which are the default, million and neighbours.
# QUICK=yes: small sizes, to see that all works. RESULTS=: of a backlog. SAVE=yes: to docs/benchmarks.
SUITES  ?=
QUICK   ?=
SAVE    ?=
RESULTS ?=
bench: setup ## what it takes beside plain Erlang and the floor: SUITES=, QUICK=yes, SAVE=yes; half an hour
	@CARGO='$(CARGO)' ./test/tools/bench/run.sh '$(SUITES)' '$(QUICK)' '$(SAVE)' '$(RESULTS)'

# LIVE=yes: while a node runs on it. FORCE=yes: over what somebody else has changed since.
install: compile ## put it into a built release of the host: RELEASE=_build/default/rel/hb
	@./scripts/release.sh install "$(RELEASE)"

uninstall: ## make the RELEASE what it was before, byte for byte
	@./scripts/release.sh uninstall "$(RELEASE)"

verify: ## what is installed in the RELEASE, whether it loads there, and what it finds of the host
	@./scripts/release.sh verify "$(RELEASE)"

dist: compile ## a tarball that installs without Rust, rebar3 and make: _build/dist/
	@./scripts/dist.sh _build/default/lib/hb_process_monitor _build/dist

clean: ## remove all that was built
	@rm -rf target _build priv doc
