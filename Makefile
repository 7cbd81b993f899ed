# What a developer types. `make` alone says what there is; scripts/ holds what does not fit on a line.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

BIN := .venv/bin
STAMP := .venv/.installed
TESTS ?= tests
# Tests of one file stay together: they share what is slow to make.
WORKERS ?= $(shell cores=$$(nproc); echo $$((cores > 4 ? 4 : cores)))
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile
SHELL_SCRIPTS := .ci/run $(wildcard scripts/*.sh)
# TensorFlow greets on standard error with what it would rather be compiled with.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help install lock demo test test-all lint format bench serve docs kafka postgres clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 12

install: $(STAMP) ## put the environment into .venv

$(STAMP): requirements.lock pyproject.toml scripts/install.sh
	@scripts/install.sh
	@touch $@

lock: ## resolve requirements.lock anew from pyproject.toml
	@scripts/install.sh --lock

demo: $(STAMP) ## watch real drift being caught; ARGS=--fast for a shorter one
	@$(BIN)/driftline demo $(ARGS)

test: $(STAMP) ## all tests that need no server; ARGS are pytest's
	@$(PYTEST) -m "not slow" $(TESTS) $(ARGS)

test-all: $(STAMP) ## all tests; a server that is missing is a failure
	@DRIFTLINE_REQUIRE_SERVERS=1 $(PYTEST) $(TESTS) $(ARGS)

lint: $(STAMP) ## ruff, mypy, import directions, shell scripts, generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: run 'make format'"; exit 1; }
	@$(BIN)/mypy
	@said=$$($(BIN)/lint-imports --no-cache 2>&1) || { echo "$$said"; exit 1; }
	@$(BIN)/shellcheck $(SHELL_SCRIPTS)
	@$(BIN)/python -m dashboards.build --check
	@$(BIN)/python docs/generate.py --check

format: $(STAMP) ## let ruff format and mend what it can
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: $(STAMP) ## measure against the numbers in docs/performance.md
	@for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done
	@echo "== bench/detection/run.py"; $(BIN)/python bench/detection/run.py --only driftline

serve: $(STAMP) ## run all roles on CONFIG (driftline.yaml), made if it is not there
	@test -f "$${CONFIG:-driftline.yaml}" || $(BIN)/driftline init .
	@$(BIN)/driftline run --config "$${CONFIG:-driftline.yaml}" $(ARGS)

docs: $(STAMP) ## regenerate the generated pages, the settings schema and the dashboards
	@$(BIN)/python -m dashboards.build
	@$(BIN)/python docs/generate.py

kafka: ## start Apache Kafka for the tests on PORT (9092); stop it with `scripts/kafka.sh stop`
	@scripts/kafka.sh start $(or $(PORT),9092)

postgres: ## start a private PostgreSQL for the tests on PORT (5433); stop it with `scripts/postgres.sh stop`
	@scripts/postgres.sh start $(or $(PORT),5433)

clean: ## stop the servers of the tests and remove everything that was made here
	@scripts/kafka.sh stop
	@scripts/postgres.sh stop
	@rm -rf .venv .tools dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
