# Everything that a person types. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first that is there and of a version that Airflow 3.3 and the lock are for.
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for python in python3 python3.12 python3.13 python3.11; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests: more than the two cores that they are measured on, as many tests wait for a rollout or a pruner.
WORKERS ?= 4
READY := $(VENV)/.ready
DISTRIBUTED := .venv-distributed
SBOM := .venv-sbom
export PYTHONPATH := $(CURDIR)
unexport PYTHONHOME
# Without compiled code each process of Airflow, and so each task, would compile this project anew: half a second of CPU.
unexport PYTHONDONTWRITEBYTECODE

# For `make run KUBECONFIG=…`: only what was typed on make's own command line, never an inherited variable,
# so that nobody prunes the cluster he happens to be logged in to.
typed = $(if $(filter command,$(firstword $(origin $(1)))),$(if $($(1)),$(2) '$(subst ','\'',$($(1)))'))
RUN_OPTIONS = $(call typed,KUBECONFIG,--kubeconfig) $(call typed,CONTEXT,--context) $(call typed,MODE,--mode) \
	$(call typed,PASS,--pass) $(OPTIONS)

.PHONY: help setup run up down connection test quick lint types imports pure unit docs chart sbom slow fuzz distributed faults bench lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## virtual environment with the locked dependencies (the other targets do it by themselves)

# Sets up an environment in the target's folder from the lock that it depends on.
define set_up
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed and was not found. Say where it is: make PYTHON=/path/to/python3.12"; exit 1; }
	@test ! -L $(@D) || { echo "$(@D) is a link. Setting it up would empty the folder that it leads to: remove the link, or set that folder up where it is."; exit 1; }
	@echo "Setting up $(@D) with $$($(PYTHON) --version): about a minute, once."
	@$(PYTHON) -m venv --clear $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $< \
		|| { echo "The packages of $< could not be installed, for the reason above. Is there no way to the package index? pip takes a mirror from PIP_INDEX_URL, a proxy from HTTPS_PROXY, and a folder of wheels from PIP_FIND_LINKS with PIP_NO_INDEX=1. Then the same command again."; exit 1; }
	@touch $@
endef

$(READY): requirements-dev.lock
	$(set_up)

run: $(READY) ## the whole procedure, on a sandbox cluster; KUBECONFIG=… [CONTEXT=…] [MODE=prune] [PASS=…] for a real one
	@$(BIN)/python -m local_airflow run $(RUN_OPTIONS)

up: $(READY) ## sandbox and Airflow with its UI, kept running
	@$(BIN)/python -m local_airflow up $(RUN_OPTIONS)

down: $(READY) ## ends what `make up` started
	@$(BIN)/python -m local_airflow down

connection: $(READY) ## the Airflow connection to a cluster as JSON, with a new token; CONTEXT=… [KUBECONFIG=…] [OPTIONS=--duration=8760h]
	@$(if $(call typed,CONTEXT,--context),,echo "Which cluster? make connection CONTEXT=…" >&2; exit 1;) \
		$(BIN)/python -m local_airflow connection $(call typed,KUBECONFIG,--kubeconfig) $(call typed,CONTEXT,--context) $(OPTIONS)

test: lint types imports unit ## lint, types, import rules and all tests

quick: lint types imports pure ## lint, types, import rules and the tests that start neither a sandbox nor an Airflow

lint: $(READY) ## ruff
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

imports: $(READY) ## import rules
	@$(BIN)/lint-imports

pure: $(READY) # the tests of `make quick`
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m pure $(PYTEST)

unit: $(READY) ## the tests; PYTEST=… for options of pytest
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not distributed and not sbom" $(PYTEST)

docs: $(READY) ## writes the tables of docs/settings.md, the example and the schema of clusters.yaml from the code
	@$(BIN)/python -m include.registry_prune.settings.document --write

chart: $(READY) ## deploy/values* against the JSON schema of Airflow's chart; SCHEMA=… [VALUES="a.yaml b.yaml"]
	@test -n "$(SCHEMA)" || { echo "Where is the chart's schema? \`helm pull apache-airflow/airflow --untar\`, then \`make chart SCHEMA=airflow/values.schema.json\`."; exit 2; }
	@$(BIN)/python -m local_airflow.chart_values $(SCHEMA) $(VALUES)

sbom: $(READY) $(SBOM)/.ready ## sbom.json: what requirements.lock installs, as CycloneDX, held against the lock
	@$(SBOM)/bin/cyclonedx-py requirements requirements.lock --output-reproducible -o sbom.json
	@$(BIN)/python -m pytest -q -m sbom tests/project/test_sbom.py

$(SBOM)/.ready: requirements-sbom.lock
	$(set_up)

slow: $(READY) ## the tests with the real timings of a cluster (about five minutes)
	@$(BIN)/python -m pytest -m slow $(PYTEST)

fuzz: $(READY) ## more than 100,000 damaged outputs, records, objects and settings (about five minutes)
	@$(BIN)/python -m pytest -n 2 tests/registry_prune -m fuzz --hypothesis-profile=fuzz --timeout=1800 $(PYTEST)

distributed: $(DISTRIBUTED)/.ready ## whole runs with CeleryExecutor, PostgreSQL and Redis, tests of the database (about twenty minutes); PYTEST="-k whole" for some
	@$(DISTRIBUTED)/bin/python -m local_airflow.distributed.services
	@$(DISTRIBUTED)/bin/python -m pytest tests/distributed -m distributed $(PYTEST)

$(DISTRIBUTED)/.ready: requirements-distributed.lock
	$(set_up)

faults: $(READY) ## runs that meet faults, and what became of them; OPTIONS=… such as --list, --only PATTERN, --write
	@$(BIN)/python -m faults $(OPTIONS)

bench: $(READY) ## measurements, side by side; OPTIONS=… such as --list, --only PATTERN, --write
	@$(BIN)/python -m benchmarks $(OPTIONS)

lock: ## makes the lock files anew (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements.txt -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-dev.txt -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-distributed.txt -o requirements-distributed.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header requirements-sbom.txt -o requirements-sbom.lock

clean: ## removes the virtual environment, caches and sandboxes; what was done to real clusters stays on record
	rm -rf $(VENV) $(DISTRIBUTED) $(SBOM) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@test ! -d .state || find .state -mindepth 1 -maxdepth 1 ! -name clusters -exec rm -rf {} +
	@test ! -d .state/clusters || echo "Kept: .state/clusters, the lists and the history of real clusters. Remove it by hand if nobody needs it."
