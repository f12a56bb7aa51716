# PolyPy's commands. `make` alone lists them. CI runs `make test`.

CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help features package static image packages-test packaging-files crates release demo sim test soak screenshots soak-test recordings published-client streams rolling reselection check rules fmt lint doc unit e2e clients schemathesis latency scale integrity integrity-defaults bench bench-end-to-end bench-catalogue bench-first-client bench-http bench-page bench-peers bench-record bench-replay bench-stream instructions attack mutants properties recorded-hour deny setup

# The same random input for every change: whether one is taken does not depend on chance.
# `make properties` draws anew, and far more.
unit e2e: export PROPTEST_RNG_SEED ?= 20261130

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# In the profile and with the features of the tests, so that trying the program out
# and testing it share one build: it costs as much as a release build, and keeps up
# with the demo's flow easily.
demo: setup ## run the server against the embedded exchange, on port 8080
	$(CARGO) run --locked -p polypy --features tokio/test-util,fault-injection -- run --demo

sim: setup ## run the embedded exchange alone
	$(CARGO) run --locked -p polypy --features tokio/test-util,fault-injection -- sim

test: check unit e2e clients schemathesis packaging-files instructions deny ## run every check and test, fast ones first

check: setup ## formatting, lints, documentation (no tests)
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

rules: setup ## architecture and document rules alone
	$(CARGO) test --locked -p polypy-tests --test architecture --test documents --test monitoring_files

unit: setup ## tests of every crate, with its documentation's examples
	@.ci/autobahn
	@.ci/tmux
	$(CARGO) test --locked --workspace --exclude polypy-tests --features polypy/fault-injection

e2e: setup ## architecture, document and end-to-end tests
	@.ci/monitoring
	$(CARGO) test --locked -p polypy-tests

# In the demo's profile and with its features, so that all share one build.
clients: setup ## tests of the clients in other languages, with the demo
	$(CARGO) build --locked -p polypy -p polypy-client --example follow --bin polypy --features tokio/test-util,polypy/fault-injection
	@CARGO="$(CARGO)" POLYPY_PROGRAM="$(CURDIR)/target/debug/polypy" .ci/clients

screenshots: setup ## photograph each view of the page into target/screenshots and docs/img, 4 minutes
	$(CARGO) build --locked -p polypy --features tokio/test-util,fault-injection
	@python=$$(.ci/python) || exit 1; POLYPY_PROGRAM="$(CURDIR)/target/debug/polypy" "$$python" clients/page/screenshots.py

bench-page: setup ## what the page costs, in Chromium and on the server; fails if a bar is missed: 10 minutes on a quiet machine
	$(CARGO) build --locked --release -p polypy
	@python=$$(.ci/python) || exit 1; POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" "$$python" clients/page/bench.py $(FLAGS)

# After `clients`, whose build this is.
schemathesis: setup ## asks the demo everything that /openapi.json says that it answers
	$(CARGO) build --locked -p polypy --features tokio/test-util,fault-injection
	@POLYPY_PROGRAM="$(CURDIR)/target/debug/polypy" .ci/schemathesis

# After `clients`, whose build this is.
packaging-files: setup ## man pages, completions, unit, manifests and Compose, each read by its own tool
	$(CARGO) build --locked -p polypy --features tokio/test-util,fault-injection
	@POLYPY_PROGRAM="$(CURDIR)/target/debug/polypy" .ci/packaging-files

latency: setup ## /health and /stats under 5,000 frames a second: p99 below 10 ms or failure
	POLYPY_LATENCY_BAR=1 $(CARGO) test --locked -p polypy-tests --test latency -- --nocapture

scale: setup ## memory, start and cost with up to 100,000 tokens, and an overload, twice: 11 minutes
	POLYPY_SCALE=full $(CARGO) test --release --locked -p polypy-tests --test scale --test overload -- --nocapture --test-threads=1

bench: setup ## what frames cost: decoding, decoding with applying, hashes
	$(CARGO) bench --locked -p polypy-benches --bench decode
	$(CARGO) bench --locked -p polypy-benches --bench hot_path
	$(CARGO) bench --locked -p polypy-benches --bench hash

bench-catalogue: setup ## what finding markets by their words costs, in memory and over HTTP beside a feed: 5 minutes on a quiet machine
	$(CARGO) bench --locked -p polypy-benches --bench catalogue
	$(CARGO) build --locked --release -p polypy
	POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" $(CARGO) bench --locked -p polypy-benches --bench catalogue_http

bench-http: setup ## answers a second beside a bare server of the same bytes, 2 minutes on a quiet machine
	$(CARGO) build --locked --release -p polypy
	POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" $(CARGO) bench --locked -p polypy-benches --bench http

bench-end-to-end: setup ## from an exchange's socket into the books, 5 minutes on a quiet machine
	$(CARGO) bench --locked -p polypy-benches --bench end_to_end

bench-stream: setup ## a thousand clients of the streams, and what they cost the feed; fails if a bar is missed: 9 minutes on a quiet machine
	$(CARGO) build --locked --release -p polypy
	POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" $(CARGO) bench --locked -p polypy-benches --bench stream -- $(FLAGS)

bench-record: setup ## what recording 100,000 frames a second costs, and whom; fails if a bar is missed: 10 minutes on a quiet machine
	$(CARGO) build --locked --release -p polypy
	POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" $(CARGO) bench --locked -p polypy-benches --bench record

bench-replay: setup ## frames a second of a recording, played to a bare client; fails below 300,000: 2 minutes on a quiet machine
	$(CARGO) build --locked --release -p polypy
	POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" $(CARGO) bench --locked -p polypy-benches --bench replay

bench-first-client: setup ## what the first client of 100,000 tokens costs, and whom: 5 minutes on a quiet machine
	$(CARGO) build --locked --release -p polypy
	POLYPY_BENCH_PROGRAM="$(CURDIR)/target/release/polypy" $(CARGO) bench --locked -p polypy-benches --bench first_client

bench-peers: setup ## ours beside the published clients, same frames; the first build takes long
	CARGO="$(CARGO)" benches/peers/run

instructions: setup ## instructions a change takes, against benches/instructions.toml
	@.ci/valgrind
	$(CARGO) bench --locked -p polypy-benches --bench instructions

# What `make test` runs in a short form, at full length. Each part runs alone, too.
soak: features packages-test soak-test properties recordings recorded-hour published-client streams rolling reselection integrity integrity-defaults scale latency ## run what takes long: faults, tables, scale, overload

properties: setup ## property tests on input that is new each time, five times as much: 20 minutes
	PROPTEST_CASES=10000 POLYPY_HISTORIES=50000 $(CARGO) test --locked --workspace --exclude polypy-tests --features polypy/fault-injection --lib

soak-test: setup ## two minutes of every fault on 4,000 tokens
	POLYPY_SOAK=full $(CARGO) test --locked -p polypy-tests --test soak -- --nocapture

recorded-hour: setup ## an hour of the exchange with faults, sixty times as fast, recorded and replayed, state by state: 3 minutes
	POLYPY_SOAK=full $(CARGO) test --locked -p polypy-tests --test recorded_hour -- --nocapture

# Its client is built in a workspace of its own, as benches/peers/README.md says.
published-client: setup ## the official SDK takes a replay for the venue, message by message; its first build takes a quarter of an hour, then 1 minute
	$(CARGO) build --release --locked --manifest-path benches/peers/Cargo.toml --target-dir target/peers --features sdk --bin follow
	POLYPY_PUBLISHED_CLIENT="$(CURDIR)/target/peers/release/follow" $(CARGO) test --locked -p polypy-tests --test published_client -- --nocapture --test-threads=1

recordings: setup ## a hundred kills of the program, files cut at every byte, disks that fail: 15 minutes
	python=$$(.ci/python) || exit 1; POLYPY_PYTHON="$$python" POLYPY_SOAK=full $(CARGO) test --locked -p polypy-tests --test recording_faults -- --nocapture --test-threads=1
	POLYPY_SOAK=full $(CARGO) test --release --locked -p polypy-archive

streams: setup ## a million changes of the streams, in Rust and Python, through every kind of trouble: 10 minutes
	python=$$(.ci/python) || exit 1; POLYPY_PYTHON="$$python" POLYPY_SOAK=full $(CARGO) test --locked -p polypy-tests --test streams -- --nocapture --test-threads=1

rolling: setup ## twenty rolling restarts behind a balancer, no request of 10,000 failing: 2 minutes
	POLYPY_SOAK=full $(CARGO) test --locked -p polypy-tests --test rolling -- --nocapture

reselection: setup ## the selection changed a hundred times during flow, on one connection a token and on two: 4 minutes
	POLYPY_SOAK=full $(CARGO) test --locked -p polypy-tests --test reselection -- --nocapture

integrity: setup ## the table of docs/integrity.md: a clean hour and every fault, 3 minutes
	POLYPY_INTEGRITY=table $(CARGO) test --locked -p polypy-tests --test integrity -- --nocapture --test-threads=1

integrity-defaults: setup ## the same under the default settings, 20 minutes on a quiet machine
	POLYPY_INTEGRITY=defaults $(CARGO) test --locked -p polypy-tests --test integrity -- --nocapture --test-threads=1

attack: setup ## what strangers can do over the open port, done to the release binary, 9 minutes
	@.ci/slowhttptest
	$(CARGO) build --release --locked -p polypy
	$(CARGO) run --locked -p polypy-tests --bin attack

mutants: ## change the code on purpose and see that a test notices: cargo-mutants
	@.ci/mutants $(MUTANTS)

deny: ## licences, bans and sources of dependencies, if cargo-deny is installed
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny --locked check licenses bans sources; \
	else \
		echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"; \
	fi

features: setup ## every promised combination of features builds without a warning, library and program: 2 minutes the first time
	@CARGO="$(CARGO)" .ci/features

# From any program: `make package PROGRAM=target/debug/polypy` packs that one.
package: setup ## the Debian package, into target/package: the release build, minutes the first time
ifndef PROGRAM
	$(CARGO) build --release --locked -p polypy
endif
	@CARGO="$(CARGO)" POLYPY_PROGRAM="$(or $(PROGRAM),target/release/polypy)" packaging/stage
	@CARGO="$(CARGO)" packaging/deb

# The last link alone is another one; what it would leave in target/release is taken away.
static: setup ## the program without any library beside it, as target/static/polypy
	$(CARGO) rustc --release --locked -p polypy --bin polypy -- -C target-feature=+crt-static
	@mkdir -p target/static && mv target/release/polypy target/static/polypy && ldd target/static/polypy

image: $(if $(PROGRAM),setup,static) ## images for containers, from a static program, into target/package: no network
	@CARGO="$(CARGO)" POLYPY_PROGRAM="$(or $(PROGRAM),target/static/polypy)" packaging/stage
	@CARGO="$(CARGO)" packaging/sbom
	@packaging/image

# In the demo's build, whose last link is made anew for the static one. What cargo keeps is the same
# file as the one that it puts there: that is replaced and not written over, or the next run takes it for static.
packages-test: setup ## installs, runs, upgrades and purges the package, runs the image, checks manifests: root, 3 minutes
	$(CARGO) build --locked -p polypy --features tokio/test-util,fault-injection
	@mkdir -p target/static && cp target/debug/polypy target/static/dynamic-debug
	$(CARGO) rustc --locked -p polypy --bin polypy --features tokio/test-util,fault-injection -- -C target-feature=+crt-static
	@cp target/debug/polypy target/static/static-debug && cp --remove-destination target/static/dynamic-debug target/debug/polypy
	@CARGO="$(CARGO)" POLYPY_PROGRAM="$(CURDIR)/target/static/dynamic-debug" POLYPY_STATIC="$(CURDIR)/target/static/static-debug" .ci/packages

crates: setup ## every crate packed as it would be published, into target/crates; publishes none
	@CARGO="$(CARGO)" packaging/crates

release: setup ## everything that is published, with checksums and the section of the changelog, into target/release-VERSION
	@CARGO="$(CARGO)" packaging/release

fmt: ## format all Rust code
	$(CARGO) fmt --all

lint: setup ## clippy alone
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

doc: setup ## build the API documentation into target/doc
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

setup:
	@.ci/setup
