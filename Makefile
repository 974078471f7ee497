# `make demo` and `make test` are all a newcomer needs; both set everything up inside this folder first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
unexport PYTHONPATH VIRTUAL_ENV
export PYTHON
OUT ?= sensetrail-demo
WORKERS ?= 2
BATCHES ?= 20000
KILLS ?= 200
SEED ?=

ANALYSIS := PATH=$(CURDIR)/.venv/analysis/bin:$(PATH)

.PHONY: help setup demo test fuzz endurance check coverage slither prove bench-gas bench-index gas-snapshot format lock artifacts vectors wheel clean

help: ## Say what the targets do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Bring Python packages, Node and npm packages into the checkout (a second run does nothing)
	@scripts/setup

demo: setup ## Run the paper's two experiments on a real local chain and audit the result
	@sensetrail demo --out $(OUT)

test: setup ## Run every test: Solidity's by Hardhat, then Python's
	hardhat test solidity
	pytest -n $(WORKERS) --dist loadfile

fuzz: setup ## Let four judges judge random batches (BATCHES=20000, SEED= random), and fail where they differ
	python scripts/fuzz_judge.py --batches $(BATCHES) $(if $(SEED),--seed $(SEED))

endurance: setup ## Kill the indexer at random moments (KILLS=200), and fail where its index is not what one run makes
	ENDURANCE_KILLS=$(KILLS) pytest tests/e2e/test_endurance.py -k killed -s

check: setup ## Lint, types, import layers, formatting, and that the committed artifacts are the sources'
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	npm run --silent lint
	python scripts/compile.py --check

coverage: setup ## Every line and branch of the contracts by their tests, or fail
	node scripts/coverage.mjs

slither: ## Look for known weaknesses in the contracts
	@scripts/setup analysis
	@$(ANALYSIS) slither .

prove: ## Prove the lane arithmetic for every argument
	@scripts/setup analysis
	@mkdir -p build/proofs
	@$(ANALYSIS) FOUNDRY_PROFILE=prove halmos 2>&1 | tee build/proofs/log; exit $${PIPESTATUS[0]}
	@! grep -q WARNING build/proofs/log

bench-gas: setup ## Measure what a reading costs, here and in the Ethereum Attestation Service; writes build/bench/gas.json
	@python scripts/bench_gas.py

bench-index: ## Measure how fast a chain's events are read, here and by others; writes build/bench/index.json
	@scripts/setup bench
	@python scripts/bench_index.py

gas-snapshot: setup ## Write the gas figures that the tests hold the contracts against
	@python scripts/bench_gas.py --snapshot

format: setup ## Put Python, Solidity and JavaScript into their format
	ruff format .
	ruff check --fix .
	prettier --write 'contracts/**/*.sol' 'tests/**/*.sol' hardhat.config.js

lock: setup ## Resolve the newest versions again and write the lock files
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --extra train --extra postgres --group dev -o requirements.lock pyproject.toml
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --group pyproject.toml:node -o requirements-node.lock
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --group pyproject.toml:analysis -o requirements-analysis.lock
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
		--custom-compile-command "make lock" --group pyproject.toml:bench -o requirements-bench.lock
	npm install --package-lock-only

artifacts: setup ## Compile the contracts into what the package ships
	python scripts/compile.py

vectors: setup ## Write the test vectors again
	python tests/vectors/generate.py

wheel: setup ## Build the wheel into dist/
	uv build --wheel --no-build-isolation --quiet

clean: ## Remove what builds and tests leave behind; the set-up stays
	rm -rf artifacts cache build coverage dist $(OUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
