# Nightshift. `make` alone lists the commands.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV   := .venv
PYTHON := $(VENV)/bin/python
STACK  := $(PYTHON) -m include.stack
READY  := $(VENV)/.ready

# Interpreter the virtual environment is made with: any 3.11.
BASE_PYTHON ?= $(shell command -v python3.11 || command -v python3)

export PYTHONPATH := $(CURDIR):$(CURDIR)/plugins

.PHONY: help setup demo nightly up start down status test lint bench bench-% docs lock reset clean

help: ## what there is
	@grep -hE '^[a-z%-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

setup: $(READY) ## install everything into .venv (the other commands do this themselves)

$(READY): requirements.txt requirements-dev.txt
	@test -n "$(BASE_PYTHON)" || { echo "Nightshift needs Python 3.11 and found no Python: install it, or name one with BASE_PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(BASE_PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] == (3, 11) else "Nightshift needs Python 3.11; found " + sys.version.split()[0] + ": install it, or name one with BASE_PYTHON=/path/to/python3.11")'
	@echo "Installing into $(VENV) (once, some minutes)..."
	@$(BASE_PYTHON) -m venv $(VENV)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt -r requirements-dev.txt
	@touch $@

demo: $(READY) ## run a night and leave everything up: Airflow, MLflow, Slack inbox
	@$(STACK) nightly --keep $(NIGHT_OPTIONS)

nightly: $(READY) ## run a night headless. ADS_EXPORT=file.csv works on a real export, DRIFT=on plants a change, DAY=YYYY-MM-DD
	@$(STACK) nightly $(NIGHT_OPTIONS)

NIGHT_OPTIONS = $(if $(ADS_EXPORT),--ads-export "$(ADS_EXPORT)") $(if $(filter on 1 yes,$(DRIFT)),--drift) $(if $(DAY),--day "$(DAY)")

up: $(READY) ## start everything and stay; Ctrl-C stops it
	@$(STACK) up

start: $(READY) ## start everything and return
	@$(STACK) start

down: $(READY) ## stop everything; data stay in var/
	@$(STACK) down

status: $(READY) ## what runs and how it is
	@$(STACK) status

test: $(READY) ## lint, types, import contracts and all tests
	@began=$$(date +%s); $(MAKE) --no-print-directory lint && \
	$(PYTHON) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS) && \
	echo "make test took $$(( $$(date +%s) - began )) s"

lint: $(READY) ## ruff, mypy, import-linter
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

bench: $(READY) ## every benchmark; each writes var/bench/NAME.json
	@for file in tests/benchmarks/bench_*.py; do \
		name=$${file##*/bench_}; $(MAKE) --no-print-directory bench-$${name%.py}; done

bench-%: $(READY) ## one benchmark, e.g. make bench-dags
	@$(PYTHON) -m tests.benchmarks.bench_$(subst -,_,$*)

docs: $(READY) ## write docs/DAGs.md from the DAGs, and the tables of docs/drift.md and docs/features.md
	@$(PYTHON) -m nightshift.dag_catalog
	@$(PYTHON) -m nightshift.drift_table
	@$(PYTHON) -m nightshift.feature_table

lock: $(READY) ## compile requirements*.in into requirements*.txt; pins stay where they can, UPGRADE=1 renews them
	@for name in requirements requirements-dev; do \
		cp $$name.txt $$name.txt.pins; \
		$(VENV)/bin/uv pip compile --quiet --python-version 3.11 --no-header --no-annotate $(if $(UPGRADE),--upgrade) \
			--overrides requirements-overrides.txt --output-file $$name.txt.pins $$name.in; \
		{ echo "# The full lock, compiled from $$name.in by \`make lock\`. Installed with --no-deps: what it names is all there is."; \
		  echo "# Left out on purpose: the nvidia-*, cuda-* and triton packages (gigabytes; the CPU paths do not use them)."; \
		  grep -vE '^(nvidia-[a-ln-z]|cuda-|triton)' $$name.txt.pins; } > $$name.txt.new; \
		mv $$name.txt.new $$name.txt; rm $$name.txt.pins; done

reset: ## stop everything and forget all data: removes var/
	@if [ -e $(READY) ]; then $(STACK) down; fi
	@rm -rf var

clean: reset ## the same, and remove what was installed: .venv/
	@rm -rf $(VENV)
