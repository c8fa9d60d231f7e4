# Needs python3 with pip, and make. uv is used where it is found, and else put into .venv.
.DEFAULT_GOAL := help
SHELL := bash
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv

PORT ?= 8001
UV := $(or $(shell command -v uv),.venv/bin/uv)
READY := .venv/.ready

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## Run the BFF and the six services, seeded, on http://127.0.0.1:8001 (PORT=… for another)
	.venv/bin/bff dev --port $(PORT)

test: $(READY) ## Run the tests, in parallel, without network
	.venv/bin/python -m pytest -n auto -m "not slow" -r s

check: format lint types layers test schema-check ## Everything CI checks first: format, lint, types, layers, tests, schema

clients: $(READY) ## Hold the npm packages that clients use against the BFF (needs Node 20.19 or newer)
	@command -v npm >/dev/null || { echo "make clients: no npm found. Node 20.19+ is needed to test the npm packages; make test leaves them out without it."; exit 1; }
	cd tests/integration/js && npm ci --no-audit --no-fund
	NODE_CLIENTS_REQUIRED=1 .venv/bin/python -m pytest -n auto tests/integration/test_node_clients.py

drills: $(READY) ## Run the slow drills: real processes, real sockets, a clean clone
	.venv/bin/python -m pytest -m slow --timeout 600 --ignore tests/load/test_soak.py
	.venv/bin/python -m pytest -m slow --timeout 600 tests/load/test_soak.py -rP
	HYPOTHESIS_EXAMPLES=300 .venv/bin/python -m pytest tests/graph/test_no_unexplained_null.py tests/graph/test_prices.py

differential: $(READY) ## Hold the executor against graphql-core's own with 5,000 queries and 5,000 streams (part of the tests with fewer)
	DIFFERENTIAL_EXAMPLES=5000 .venv/bin/python -m pytest tests/execution/test_same_answers.py tests/execution/test_same_streams.py --timeout 1200

hostile: $(READY) ## Attack a BFF over real sockets, with a client beside it that must not wait (part of drills)
	.venv/bin/python -m pytest -m slow tests/hostile --timeout 120 -rP

audit-deps: $(READY) ## Look for known vulnerabilities in what is locked, where the registries answer
	UV=$(UV) .ci/audit-deps

soak: $(READY) ## Run the soak for ten minutes (SOAK_S=… for another time): memory, tasks and sockets stay flat
	SOAK_S=$(or $(SOAK_S),600) .venv/bin/python -m pytest -m slow tests/load/test_soak.py -rP

bench: $(READY) ## What a request costs, beside an endpoint written by hand: 7 minutes (BENCH=quick: one)
	.venv/bin/python -m benchmarks run $(or $(BENCH),full)

bench-profile: $(READY) ## Where that goes, phase by phase (CASE=Dashboard for another operation)
	.venv/bin/python -m benchmarks profile $(CASE)

format: $(READY)
	.venv/bin/ruff format --check

lint: $(READY)
	.venv/bin/ruff check

types: $(READY)
	.venv/bin/mypy

layers: $(READY)
	.venv/bin/lint-imports

schema-check: $(READY)
	.venv/bin/bff schema | diff -u schema.graphql - || { echo "schema.graphql differs from the code: run make schema"; exit 1; }

schema: $(READY) ## Print schema.graphql anew from the code
	.venv/bin/bff schema --output schema.graphql

examples: $(READY) ## Ask the sandbox anew for the examples of the REST description
	PYTHONPATH=tests:tests/graph .venv/bin/python tests/api/rest_examples.py

contracts: $(READY) ## Work operations/contracts.json out anew from the code
	.venv/bin/bff contracts --output operations/contracts.json

fix: $(READY) ## Format and mend what can be mended by machine
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

web: ## Rebuild bff/static (needs Node 20.19 or newer; nothing else here does)
	@command -v npm >/dev/null || { echo "make web: no npm found. Node 20.19+ is needed to rebuild the pages; running and testing the BFF needs none."; exit 1; }
	cd web/graphiql && npm ci --no-audit --no-fund && npm run build
	cd web/api_docs && npm ci --no-audit --no-fund --ignore-scripts && npm run build

$(READY): pyproject.toml uv.lock
	@[ -x .venv/bin/python ] || python3 -m venv .venv
	@command -v uv >/dev/null || [ -x .venv/bin/uv ] || { .venv/bin/python -m ensurepip >/dev/null && .venv/bin/python -m pip install --quiet --disable-pip-version-check uv; }
	$(UV) sync --locked --inexact --quiet --python .venv/bin/python
	@touch $@

.PHONY: help run test check clients drills differential hostile audit-deps soak bench bench-profile format lint types layers schema-check schema contracts examples fix web
