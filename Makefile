# Two commands for a newcomer: `make demo` and `make test`. What is set up once is not set up again.
TOOLS := $(or $(RUNPROOF_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/runproof/tools)
CARGO_DENY := $(TOOLS)/cargo-deny/bin/cargo-deny

.PHONY: help setup setup-tests demo test faults fuzz contracts contracts-audit lint bench-indexer bench-executor

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## Installs what the demo needs, from the package registries
	@stack/install.sh

setup-tests:
	@stack/install.sh --tests

demo: setup ## Starts everything and runs a workflow; ARGS=--once ends after it
	cargo build
	target/debug/runproof demo $(ARGS)

test: setup-tests contracts ## Runs all tests on the real parts
	cargo test --workspace

faults: ## Runs the fault campaign, some hours; ARGS="--seed N --line K --times M"
	@stack/install.sh --faults
	cargo build --workspace
	target/debug/runproof-faults $(ARGS)

fuzz: ## Fuzzes what reads bytes of strangers, TIME seconds each [1800]; needs a nightly toolchain
	@stack/install.sh --fuzz
	cp Cargo.lock fuzz/Cargo.lock
	for target in log_decoder rpc_answer; do \
	  mkdir -p fuzz/corpus/$$target && PATH=$(TOOLS)/cargo-fuzz/bin:$$PATH cargo +nightly fuzz run --sanitizer none $$target \
	    fuzz/corpus/$$target fuzz/seeds/$$target -- -max_total_time=$(or $(TIME),1800) || exit 1; done

contracts: setup-tests ## Formats, builds and tests the contracts, and compares the committed artifact
	cd contracts && ./forge.sh fmt --check && ./build.sh --check && ./forge.sh test --offline

contracts-audit: setup-tests ## Coverage of the contracts' tests by lines and branches, static analysis, gas beside the paper's contract
	cd contracts && ./forge.sh coverage --offline --ir-minimum --no-match-coverage 'test/' && ./slither.sh
	UPDATE_GAS=1 cargo test -p runproof-contracts --test on_anvil gas
	@sed -n '/<!-- gas -->/,/<!-- .gas -->/p' docs/contract.md

lint: setup-tests ## Formatting, clippy and the dependency rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(CARGO_DENY) check bans licenses sources

# What is measured is optimised; what starts it is not, since it only waits.
bench-indexer: setup ## Measures the indexer against COPY, and live; ARGS="--peer ponder --events 500000 --events 2000000"
	cargo build -p runproof-bench --profile measure --no-default-features --features asm-keccak --bin bench-replay --bin bench-subject --bin bench-live
	cargo run -p runproof-bench --bin bench-indexer -- --cache $(dir $(TOOLS))bench --programs target/measure $(ARGS)

bench-executor: setup ## Measures the executor: one long run, many at once, the paper's; ARGS="--paper-run ../shared/reference/paper-run"
	cargo build -p runproof --profile measure
	cargo run -p runproof-bench --bin bench-executor -- --runproof target/measure/runproof $(ARGS)
