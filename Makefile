# Two commands: `make run` and `make test`. Both install what they need first.

PROFILE ?= dev
TILLWATCH = target/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/tillwatch

.PHONY: help run test build tools-run tools engine check fmt clippy doc deny advisories bench fuzz clean

# What is needed comes before what needs it, with `make -j` too.
.NOTPARALLEL:

help:            ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

run: tools-run build engine ## everything in one process with simulated traffic: http://127.0.0.1:9090
	@scripts/demo $(TILLWATCH)

test: tools engine ## every test, against the real engine and a real browser
	cargo nextest run --workspace --locked
	cargo test --workspace --doc --locked

build:
	cargo build --locked --profile $(PROFILE)

tools-run:
	@scripts/tools run

tools:           ## what tests need beside cargo: nextest, a browser, a collector
	@scripts/tools test

engine: build    ## the embedded ClickHouse, fetched once
	@$(TILLWATCH) engine fetch

check: fmt clippy doc deny ## what CI checks beside the tests

fmt:
	cargo fmt --all --check

clippy:
	cargo clippy --workspace --all-targets --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

deny:            ## licences, duplicates and origins of dependencies
	cargo deny --locked check bans licenses sources

advisories:      ## known vulnerabilities; needs the advisory database from the network
	cargo deny --locked check advisories

bench:           ## micro benchmarks of the hot paths
	cargo bench --workspace --locked

fuzz:            ## two minutes of each fuzz target
	@cargo +nightly fuzz --version >/dev/null 2>&1 || { \
	    echo "fuzz: needs a nightly toolchain and cargo-fuzz, which nothing else here does:" >&2; \
	    echo "      rustup toolchain install nightly && cargo install cargo-fuzz" >&2; exit 1; }
	cd crates/payments/fuzz && for target in verify normalize; do cargo +nightly fuzz run $$target -- -max_total_time=120 || exit 1; done

clean:
	cargo clean
