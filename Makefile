# CondorPool operator. `make` alone lists the targets; every target installs what it needs.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SOURCES := operator devcluster images/htcondor/rootfs tools tests benchmarks
PYTEST := $(BIN)/pytest
export PYTHONPATH := operator:.

# programs of the dev cluster for the machine itself, built on first use
define with_binaries
bin=$$($(PYTHON) -m devcluster binaries $(1)); export PATH="$$bin:$$PATH" CONDORPOOL_BINARIES="$$bin";
endef

##@ Use
.PHONY: help demo cluster cluster-down cluster-purge run images
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

demo: $(READY) needs-ssh ## A cluster, the operator, a pool, john logs in and runs a job; leaves the cluster up
	@$(PYTHON) -m tools.demo

cluster: needs-python ## Bring up the dev cluster: three nodes, Calico
	@$(PYTHON) -m devcluster up

cluster-down: needs-python ## Remove the dev cluster, keep its caches
	@$(PYTHON) -m devcluster down

cluster-purge: needs-python ## Remove the dev cluster and its caches
	@$(PYTHON) -m devcluster purge

run: export CMD := $(CMD)
run: needs-python ## Run a command against the cluster: make run CMD="kubectl get pods -A"
	@$(PYTHON) -m devcluster run -- bash -c "$${CMD:-exec bash}"

images: $(READY) cluster ## Build both images and load them into the cluster
	@$(PYTHON) -m tools.images --load

##@ Develop
.PHONY: setup format lint type lock generate dev
setup: $(READY) ## Make the virtual environment of the development tools

dev: $(READY) ## The inner loop: build what changed, load it, restart the operator (the cluster must be up)
	@$(PYTHON) -m tools.deploy

format: $(READY) ## Format the code and apply safe fixes
	@$(BIN)/ruff check --fix --quiet $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

lint: $(READY) ## Check style, layers, chart, manifests and samples, and that generated files are current
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/lint-imports
	@$(call with_binaries,helm) $(BIN)/python tools/generate.py --check
	@$(call with_binaries,helm) helm lint --strict --quiet charts/condorpool-operator
	@$(call with_binaries,helm kubeconform kubectl) $(BIN)/python tools/conform.py

type: $(READY) ## Check the types
	@$(BIN)/mypy --strict $(SOURCES)

generate: $(READY) ## Write what is generated from the models and from the chart
	@$(call with_binaries,helm) $(BIN)/python tools/generate.py

lock: $(READY) ## Resolve the dependencies anew
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-header --python-version 3.13 --python-platform linux pyproject.toml -o requirements/runtime.txt
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-header --python-version 3.11 --universal --extra dev pyproject.toml -o requirements/dev.txt

##@ Test
.PHONY: test test-unit test-api test-e2e crash chaos
test: lint type test-unit test-api test-e2e ## Everything, from a bare machine

test-unit: $(READY) ## Unit tests: no cluster
	@$(call with_binaries,helm kubectl) $(PYTEST) tests/unit

test-api: $(READY) ## Tests on a real API server without nodes
	@$(call with_binaries) $(PYTEST) tests/api

crash: $(READY) ## Kill the operator at every request it makes, and make every request fail; writes docs/design/crash-table.md
	@$(call with_binaries) $(BIN)/python -m tests.api.crash $(if $(SHARE),--share $(SHARE)) $(if $(SCENARIO),"$(SCENARIO)")

test-e2e: needs-ssh images ## Tests on the dev cluster with real HTCondor
	@$(PYTHON) -m devcluster run -- $(PYTEST) --durations=20 tests/e2e

chaos: needs-ssh images ## Thousands of jobs while everything is killed, frozen or cut off at random; writes docs/design/chaos.md
	@$(PYTHON) -m devcluster run -- $(BIN)/python -m tests.chaos $(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED))

##@ Measure
.PHONY: bench
bench: $(READY) needs-ssh ## The project's figures as JSON and a table: make bench, or make bench PART="writes scale"
	@$(call with_binaries) $(BIN)/python -m benchmarks $(PART)

# the virtual environment, made anew when the lock changes
$(READY): requirements/dev.txt | needs-python
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "missing: the module venv of $(PYTHON) (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "making $(VENV) from requirements/dev.txt"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@touch $@

.PHONY: needs-python
needs-python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "missing: Python 3.11 or newer as $(PYTHON) (make PYTHON=python3.12 … names another)" >&2; exit 1; }

.PHONY: needs-ssh
needs-ssh:
	@for program in ssh scp ssh-keygen; do command -v $$program >/dev/null || { echo "missing: $$program (Debian: apt-get install openssh-client)" >&2; exit 1; }; done
