# Everything for people who work on JVP. `make help` lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON := .venv/bin/python
export PATH := $(CURDIR)/.tools/bin:$(CURDIR)/.venv/bin:$(PATH)
export PULUMI_SKIP_UPDATE_CHECK := 1

# Arguments for pytest, e.g. make test ARGS='-m unit -x'; with any, one process runs the tests: tools/lanes.py
ARGS ?=
# JVP_TEST_START=warm or plain has engines start the provider in this way alone: tests/starting.py

.NOTPARALLEL:
.PHONY: help setup demo test test-all lab lint format schema features dist bench race clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make this machine ready: packages, .venv, engines, libvirtd, test guest
	@python3 -m tools.setup

demo: ## from nothing to a running guest, and back to nothing
	@python3 -m tools.setup --skip tofu
	@$(PYTHON) tools/demo.py

test: setup lint ## linters and all tests that this machine can run; of what is exhaustive a sample
	@$(PYTHON) -m tools.lanes $(ARGS)

test-all: setup lint ## the same with every kill point and longer races
	@JVP_TESTS=all $(PYTHON) -m tools.lanes $(ARGS)

lab: setup ## tests with a whole Debian system and cloud-init; builds its image, two minutes, once
	@$(PYTHON) -m tests.lab.cloud
	@$(PYTHON) -m pytest -ra -m images $(ARGS)

lint: ## ruff, mypy, import contracts, generated files up to date
	@$(PYTHON) -m tools.lint

format: ## let ruff format and mend what it can
	@ruff check --fix .
	@ruff format .

schema: ## schema.json, the stored schemas, the Python SDK and docs/, from the declared resources
	@python3 -m tools.setup venv >/dev/null  # a new dependency may have come with the sources
	@mkdir -p build
	@$(PYTHON) -m jvp.doors.pulumi.schema > build/schema.json
	@mv build/schema.json schema.json
	@$(PYTHON) -m tools.gen_schemas
	@$(PYTHON) -m tools.gen_sdk
	@$(PYTHON) -m tools.gen_docs

features: ## which function works through which door, by the tests of the last make test
	@$(PYTHON) -m tools.features

dist: ## the wheel and the source archive of pulumi-jvp, in dist/; makes .venv where it is missing
	@test -x .venv/bin/pyproject-build || python3 -m tools.setup check packages venv
	@rm -rf dist
	@$(PYTHON) -m build --outdir dist .

bench: setup ## measure against the engine alone and libvirt alone
	@PYTHONPATH=tests $(PYTHON) -m bench $(ARGS)

race: setup ## race against the providers that JVP_RACE_TERRAFORM and JVP_RACE_PULUMI name
	@PYTHONPATH=tests $(PYTHON) -m bench.race $(ARGS)

clean: ## remove what was built; daemons and Debian packages stay
	@rm -rf .venv .tools build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	@find provider tests tools sdk -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
