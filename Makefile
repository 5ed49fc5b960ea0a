# Two commands for a newcomer: `make demo` and `make test`. What is set up once is not set up again.
TOOLS := $(or $(RUNPROOF_TOOLS),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/runproof/tools)
CARGO_DENY := $(TOOLS)/cargo-deny/bin/cargo-deny

.PHONY: help setup setup-tests demo test faults contracts lint bench-indexer

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

faults: setup-tests ## Runs the fault campaign, about an hour; ARGS="--seed N --line K --times M"
	cargo build
	cargo run -p runproof-faults -- $(ARGS)

contracts: setup-tests ## Formats, builds and tests the contracts, and compares the committed artifact
	cd contracts && ./forge.sh fmt --check && ./build.sh --check && ./forge.sh test --offline

lint: setup-tests ## Formatting, clippy and the dependency rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	$(CARGO_DENY) check bans licenses sources

# What is measured is optimised; what starts it is not, since it only waits.
bench-indexer: setup ## Measures the indexer against COPY; ARGS="--events 2000000 --shape single --rounds 3"
	cargo build -p runproof-bench --profile measure --no-default-features --features asm-keccak --bin bench-replay --bin bench-subject
	cargo run -p runproof-bench --bin bench-indexer -- --cache $(dir $(TOOLS))bench --programs target/measure $(ARGS)
