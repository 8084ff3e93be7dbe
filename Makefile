# Every command a developer needs. The first Python 3.12 or newer among these makes .venv; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help dev test lint clients bench bundle chaos

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp is newer than what it was made from, so a second run installs nothing.
.venv/installed: requirements.txt requirements-dev.txt
	$(if $(PYTHON),,$(error Python 3.12 or newer is needed, and none is on PATH; PYTHON=/path/to/python3 names one))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || { echo "Python 3.12 or newer is needed; $(PYTHON) is not." >&2; exit 1; }
	@echo "Installing into .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

dev: .venv/installed ## Serve the API on http://127.0.0.1:3000 with an embedded PostgreSQL
	@exec $(BIN)/python -m scripts.dev

lint: .venv/installed ## Format check, ruff and mypy --strict
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary lib api scripts examples tests clients/stack.py

test: lint ## Lint, types and every test, with 100 % branch coverage of lib/ and api/
	@$(BIN)/python -m pytest --cov --cov-report=term
	@command -v node >/dev/null && echo "left out: the bundle on Vercel's runtime (make bundle) and the faults (make chaos)" \
		|| echo "left out: the bundle on Vercel's runtime (make bundle), which needs node, and the faults (make chaos)"

clients: .venv/installed ## Build the packages of clients/ and test them as installed (ARGS=--only python)
	@$(BIN)/python -m scripts.clients $(ARGS)

bundle: .venv/installed ## Build the bundle with Vercel's own code and run it (ARGS=--test: with the HTTP tests)
	@$(BIN)/python -m scripts.bundle $(ARGS)

chaos: .venv/installed ## Break everything around the service while it is used (ARGS=--short, --seed N)
	@$(BIN)/python -m scripts.chaos $(ARGS)

bench: .venv/installed ## Measure against floors and print ratios (ARGS=--million for the patient)
	@$(BIN)/python -m scripts.bench $(ARGS)
