# Everything a developer or CI does, one word each. `make` alone says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
PG ?= 17

.PHONY: help build check test golden fuzz bench bench-truth image demo fmt clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | awk -F'\t' '{ printf "  make %-11s %s\n", $$1, $$2 }'

build: ## Build target/release/lockproof
	$(CARGO) build --release

check: ## Formatting, lints and documentation, warnings denied
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps

test: ## Install what the tests need, check, then run every test
	tests/setup.sh
	@if docker version >/dev/null 2>&1; then \
		for major in 13 15 17 18; do tests/image/build.sh $$major || exit 1; done; \
		tests/image/variants.sh || exit 1; \
	else \
		echo 'test: no container engine answers, tests on container stages cannot run'; \
	fi
	$(MAKE) --no-print-directory check
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) test --doc && echo '$(CARGO) nextest run' && $(CARGO) nextest run --no-fail-fast; \
	else \
		echo '$(CARGO) test'; $(CARGO) test --no-fail-fast; \
	fi

golden: ## Write the goldens and the schema anew; read every difference before it is committed
	INSTA_UPDATE=always $(CARGO) test --test golden --test schema
	git diff --stat -- tests/golden schema

fuzz: ## Run the fuzz targets for a minute each, as in `make fuzz FUZZ=split FUZZ_SECONDS=600` (recording, scenario, split)
	FUZZ='$(FUZZ)' FUZZ_SECONDS='$(FUZZ_SECONDS)' fuzz/run.sh

bench: ## Measure what lockproof costs, as in `make bench BENCH=sampler` (replay, sampler, memory, start, snapshots, analysis, neighbours, traffic, blocked)
	BENCH='$(BENCH)' $(CARGO) bench --bench bench

bench-truth: ## Compare what is reported with the true holds, seen by kernel uprobes on the server (as root)
	$(CARGO) bench --bench truth

image: ## Build the server image of one major offline, as in `make image PG=17` (13, 15, 17, 18)
	tests/image/build.sh $(PG)

demo: build ## Show the published recipe fail and its redesign pass, on a million rows
	scenarios/demo.sh

fmt: ## Format the source
	$(CARGO) fmt

clean: ## Remove what was built here; images and caches stay
	$(CARGO) clean
	rm -rf build
