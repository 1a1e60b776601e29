# The bank's tasks. Everything runs in .venv, which `make setup` makes from the lock file.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The newest python3 on the path that is at least 3.11; override with `make PYTHON=…`.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
CODE := infra services shared tests

.PHONY: help setup run test check format bench lock

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(STAMP) ## Make the virtual environment from the lock file
	@:

$(STAMP): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make setup PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "cannot make a virtual environment: is Python's venv module installed (Debian: python3-venv)?"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup ## Start the whole bank here, as a sandbox with a small generated population
	@exec $(BIN)/databank up --sandbox --demo

test: setup ## Run every test, fast ones first
	@$(BIN)/python -m pytest

check: setup ## Check format, lint and types, then run every test
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy $(CODE)
	$(BIN)/python -m pytest

format: setup ## Format the code and apply safe fixes
	$(BIN)/ruff check --fix --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

bench: setup ## Measure speed and write a report
	@$(BIN)/python -m tests.benchmarks

lock: ## Renew the lock files (needs uv)
	cd requirements && for name in main dev; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --custom-compile-command "make lock" $$name.in -o $$name.txt || exit 1; done
