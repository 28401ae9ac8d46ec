# Everything that a person types. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= $(firstword $(foreach version,3.12 3.13 3.11,$(shell command -v python$(version))) python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PYTHONPATH := $(CURDIR)
unexport PYTHONHOME

# For `make run KUBECONFIG=…`: only what was typed on make's own command line, never an inherited variable,
# so that nobody prunes the cluster he happens to be logged in to.
ifeq ($(origin KUBECONFIG),command line)
CLUSTER_OPTIONS := --kubeconfig $(KUBECONFIG) $(if $(CONTEXT),--context $(CONTEXT)) $(if $(MODE),--mode $(MODE))
endif

.PHONY: help setup run up down test lint types imports unit lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## virtual environment with the locked dependencies (the other targets do it by themselves)

$(READY): requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say which: make PYTHON=/path/to/python3.12"; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version): about a minute, once."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-dev.lock
	@touch $@

run: $(READY) ## the whole procedure, on a sandbox cluster; KUBECONFIG=… [CONTEXT=…] [MODE=prune] for a real one
	@$(BIN)/python -m local_airflow run $(CLUSTER_OPTIONS) $(OPTIONS)

up: $(READY) ## sandbox and Airflow with its UI, kept running
	@$(BIN)/python -m local_airflow up $(CLUSTER_OPTIONS) $(OPTIONS)

down: $(READY) ## ends what `make up` started
	@$(BIN)/python -m local_airflow down

test: lint types imports unit ## lint, types, import rules and all tests

lint: $(READY) ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

imports: $(READY) ## import rules
	@$(BIN)/lint-imports

unit: $(READY) ## the tests; PYTEST=… for options of pytest
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST)

lock: ## makes the lock files anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements.txt -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-dev.txt -o requirements-dev.lock

clean: ## removes the virtual environment and the state of runs
	rm -rf $(VENV) .state .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
