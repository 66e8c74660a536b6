# The commands of this project. `make help` lists them; each does what it needs first, on a machine with only
# python3 and make. Options: ARGS='-k name' to pytest, CLUSTER=auto|kind|embedded|existing, PYTHON=python3.12.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CLUSTER ?= auto
ARGS ?=
TIERS = $(BIN)/python hack/tiers.py
EMBEDDED = hack/cluster/cluster.sh

export CLUSTER
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv lock generate docs lint test test-unit test-simulation test-contract test-cluster test-e2e coverage \
  bench images cluster-up cluster-down cluster-purge cluster-status demo demo-down clean

help: ## Show this list
	@printf 'usage: make TARGET [ARGS=...] [CLUSTER=auto|kind|embedded|existing]\n\n'
	@sed -n -E 's/^([a-z][a-z0-9-]*):.*## (.*)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) \
	  | while IFS='|' read -r target text; do printf '  %-16s %s\n' $$target "$$text"; done

venv: $(STAMP) ## Install the locked dependencies and this project into .venv

$(STAMP): requirements/dev.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'There is no $(PYTHON) here. Install Python 3.11 or later, or name one: make PYTHON=/path/to/python3 venv' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$$($(PYTHON) --version) is too old: 3.11 or later is needed. Name one: make PYTHON=python3.12 venv" >&2; exit 1; }
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf $(VENV); \
	  if ! $(PYTHON) -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	      echo '[venv] this Python cannot make environments: installing python3-venv (usually 20 s)'; \
	      export DEBIAN_FRONTEND=noninteractive; log=$$(mktemp); \
	      { apt-get install -y --no-install-recommends python3-venv >"$$log" 2>&1 \
	        || { apt-get update >"$$log" 2>&1 && apt-get install -y --no-install-recommends python3-venv >>"$$log" 2>&1; }; } \
	      || { tail -n 15 "$$log" >&2; echo 'apt-get could not install python3-venv: the lines above say why' >&2; exit 1; }; \
	    else \
	      echo 'This Python has no venv and ensurepip. Install them (Debian: sudo apt-get install python3-venv) and try again.' >&2; exit 1; \
	    fi; \
	  fi; \
	  echo '[venv] making $(VENV)'; $(PYTHON) -m venv $(VENV); \
	fi
	@echo '[venv] installing requirements/dev.lock (usually 1 minute, seconds if little changed)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

lock: venv ## Resolve pyproject.toml into requirements/*.lock (ARGS=--upgrade for newer versions)
	$(BIN)/python hack/lock.py $(ARGS)

generate: venv ## Write crds/*.yaml from the models, the policies' digests, what the chart shares with them, docs/reference
	$(BIN)/python -m tradingbot_api.crd crds
	$(BIN)/python hack/policies.py
	$(BIN)/python hack/chart.py
	$(BIN)/python hack/docs.py generate

docs: venv ## The documentation as a site, in site/; a dead link is an error
	$(BIN)/python hack/docs.py build

lint: venv ## Style, types, layers, shell scripts, and CRDs that match the models
	@$(TIERS) lint

test: venv ## Every tier, one after the other, with a summary
	@$(TIERS) --coverage lint unit simulation contract cluster e2e -- $(ARGS)

test-unit: venv ## Pure code (seconds)
	@$(TIERS) unit -- $(ARGS)

test-simulation: venv ## The runtime against the simulator in virtual time, with faults
	@$(TIERS) simulation -- $(ARGS)

test-contract: venv ## The broker's own client library against the simulator over HTTP
	@$(TIERS) contract -- $(ARGS)

test-cluster: venv ## The operator against a real API server; no root, no containers
	@$(TIERS) cluster -- $(ARGS)

test-e2e: venv ## Our images in a real cluster: pods, volumes, kills (root on Debian, or Docker with kind)
	@$(TIERS) e2e -- $(ARGS)

coverage: venv ## The tiers that need only Python, with the lines that no test reaches
	@$(TIERS) --coverage --missing unit simulation contract -- $(ARGS)

bench: venv ## What the parts cost beside something bare (ARGS='--only NAME --full --output FILE --list')
	@PYTHONPATH=hack $(BIN)/python -m bench $(ARGS)

images: venv ## Build both images and load them into the cluster
	@$(BIN)/python hack/demo.py images

cluster-up: venv ## Start a cluster and print its KUBECONFIG
	@$(BIN)/python hack/demo.py cluster-up

cluster-down: venv ## Stop the cluster; its data stay (embedded) or go (kind)
	@$(BIN)/python hack/demo.py cluster-down

cluster-purge: ## Stop the embedded cluster and remove its data
	@$(EMBEDDED) purge

cluster-status: ## Show what runs of the embedded cluster
	@$(EMBEDDED) status

demo: venv ## A cluster, the operator and a bot that trades on the simulator
	@$(BIN)/python hack/demo.py up

demo-down: venv ## Remove the demo and stop the cluster that it started
	@$(BIN)/python hack/demo.py down

clean: ## Remove what builds and tests leave behind, except .venv
	rm -rf .tiers .demo site .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache dist build
