# Every command that a person or the continuous integration needs; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2
CACHE_DIR ?= $(or $(FLEETPULSE_STACK__CACHE_DIR),$(HOME)/.cache/fleetpulse)
PACKAGES := jobs schemas udfs sinks benchmarks
PEERS := benchmarks/out/peers
LOCKS := requirements/bootstrap.lock requirements/all.lock docker/jars.lock
UV := $(BIN)/uv --quiet
COMPILE := $(UV) pip compile --no-header --generate-hashes --python-version 3.11

.PHONY: help setup jars lock format check test fuzz demo bench bench-quick peers chaos days clean

help: ## list the commands
	@echo "Fleetpulse: make COMMAND"
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16

setup: $(VENV)/.complete ## install all that is needed into .venv and fetch the Java files
	@$(BIN)/python -m jobs.jar_fetch --cache-dir "$(CACHE_DIR)"

$(VENV)/.complete: $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "make setup: CPython 3.11 is needed, '$(PYTHON)' is not it; cure: install python3.11" \
	       "or name it: make setup PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make setup: no virtual environment; cure: install the venv module of Python 3.11" \
	       "(the package python3.11-venv on Debian)" >&2; exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements/bootstrap.lock
	@echo "installing Python packages and fetching Java files, at the same time"
	@$(BIN)/python -m jobs.jar_fetch --cache-dir "$(CACHE_DIR)" & jars=$$!; \
	$(UV) pip install --python $(BIN)/python --require-hashes -r requirements/all.lock \
	  || { kill $$jars 2>/dev/null; echo "make setup: the Python packages could not be" \
	       "installed; cure: check the network, then run it again" >&2; exit 1; }; \
	wait $$jars
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

jars: $(VENV)/.complete ## fetch the Java files that are missing and check them
	@$(BIN)/python -m jobs.jar_fetch --cache-dir "$(CACHE_DIR)"

lock: $(VENV)/.complete ## write the lock files anew from pyproject.toml and jobs/jar_fetch.py
	$(COMPILE) --extra dev -o requirements/all.lock pyproject.toml requirements/bootstrap.in
	$(COMPILE) -c requirements/all.lock -o requirements/bootstrap.lock requirements/bootstrap.in
	$(COMPILE) -o benchmarks/peers/requirements.lock benchmarks/peers/requirements.in
	$(BIN)/python -m jobs.jar_fetch --cache-dir "$(CACHE_DIR)" --write-lock

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup ## lint, formatting, types, and whether a schema has changed in a way that breaks readers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m jobs.schema_check
	$(BIN)/yamllint --strict -d '{extends: relaxed, rules: {line-length: {max: 120}}}' docker

test: setup ## every test: unit, tidy, flink, simulation, integration
	$(BIN)/pytest -n $(TEST_WORKERS) --dist loadfile tests $(PACKAGES)

fuzz: setup ## a million mutated messages on the codec, about half an hour; not in `make test`
	POLARS_MAX_THREADS=1 RUST_BACKTRACE=0 $(BIN)/python -m tests.codec_fuzz 2>/dev/null

demo: setup ## the whole engine with a simulated fleet, live; DEMO_SECONDS=60 ends by itself
	@exec $(BIN)/fleetpulse demo $(if $(DEMO_SECONDS),--seconds $(DEMO_SECONDS))

bench: setup ## decode speed; drift against its goals; at 1 M points a minute freshness and alerts of the whole engine (half an hour)
	$(BIN)/python -m benchmarks.measure_codec --out benchmarks/out/codec.json
	$(BIN)/python -m benchmarks.measure_drift --out benchmarks/out/drift.json
	$(BIN)/python -m benchmarks.measure_freshness --out benchmarks/out/freshness.json
	$(BIN)/python -m benchmarks.measure_alerts --out benchmarks/out/alerts.json

bench-quick: setup peers ## the figures that tell within 5 minutes whether something got slower
	$(BIN)/python -m benchmarks.measure_quick --out benchmarks/out/quick.json

peers: $(PEERS)/.complete ## the environment of those who are measured beside the engine, in benchmarks/out/peers

$(PEERS)/.complete: $(VENV)/.complete benchmarks/peers/requirements.lock
	$(BIN)/python -m venv $(PEERS)
	$(UV) pip install --python $(PEERS)/bin/python --require-hashes -r benchmarks/peers/requirements.lock
	@touch $@

chaos: setup ## kill parts of a running engine, compare every row; FAULTS=loader-kills SEED=7, else all
	$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(FAULTS)

days: setup ## two days of alerts of 10,000 devices against an oracle, 15-40 minutes; SEED=7
	$(BIN)/python -m tests.simulation.alert_days --devices 10000 --days 2 $(if $(SEED),--seed $(SEED))

clean: ## end the local stack, remove its data and all caches of tools; .venv stays
	@if test -x $(BIN)/fleetpulse; then $(BIN)/fleetpulse down; fi
	rm -rf fleetpulse-data build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -prune -exec rm -rf {} +
