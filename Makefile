# Each target works alone on a fresh machine: Python 3.11 or newer and make are enough.
.DEFAULT_GOAL := help
.PHONY: help demo test lint fuzz bench bench-search bench-judge bench-workers bench-transfer bench-fronts bench-stopping bench-training bench-peers bench-peer-auto format clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_BENCH := $(VENV)/.ready-bench
PEERS := .venv-peers
REQUIREMENTS := benchmarks/search/peers/requirements
DEMO := results/demo-$(shell date +%Y%m%d-%H%M%S)

help:
	@echo "make demo    install, then search on drawn X-rays and write a dashboard"
	@echo "make test    install, then lint and all tests"
	@echo "make lint    ruff, mypy and the import contracts"
	@echo "make fuzz    damaged and odd input by the thousand, with limits of time and memory (minutes)"
	@echo "make bench   the measurements behind the claims (minutes)"
	@echo "make bench-search   samplers compared on the tuning problems (hours; FAST=1: minutes)"
	@echo "make bench-judge    the same on the judging problems; every look is logged"
	@echo "make bench-peers    environments for the samplers of other libraries (several GB)"
	@echo "make bench-transfer warm starts against cold ones (hours; FAST=1: minutes)"
	@echo "make bench-fronts   two objectives: hypervolume against Optuna's samplers (FAST=1: a minute)"
	@echo "make bench-stopping early stopping replayed on LCBench's curves (FAST=1: minutes)"
	@echo "make bench-training the loop against the model alone, plain scripts and a reference (hours; FAST=1: minutes)"
	@echo "make bench-workers  workers on a simulated clock, and the cost of an ask (FAST=1: minutes)"

# The first interpreter that is new enough; a stub of pyenv that runs nothing does not count.
$(READY): pyproject.toml constraints.txt
	@set -e; if [ ! -x $(BIN)/python ]; then \
	  for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	    if $$python -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      $$python -m venv $(VENV); break; \
	    fi; \
	  done; \
	  [ -x $(BIN)/python ] || { \
	    echo "No Python 3.11 or newer with venv was found; install one (Debian: python3 and" \
	         "python3-venv) or name it: make PYTHON=/path/to/python"; exit 1; }; \
	fi
	@echo "Installing into $(VENV); this takes a few minutes once."
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Few images and one network: trials of VGG16 take three times as long as those of DenseNet121.
demo: $(READY)
	$(BIN)/cxrsearch ga --generations 4 --population 5 --phantom-images 400 \
	  --set model=densenet121 --study $(DEMO)
	$(BIN)/cxrsearch train $(DEMO) --out $(DEMO)/model
	$(BIN)/cxrsearch evaluate $(DEMO)/model
	$(BIN)/cxrsearch dashboard $(DEMO)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Whole files are dealt out to the processes, in their order; see tests/conftest.py. One that dies
# ends the run with its name; in its stead another would wait for ever for what it was to do.
PROCESSES := 2
test: lint
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# FUZZ times the cases that are part of the tests, in one process, so that memory is its own.
FUZZ := 10
fuzz: $(READY)
	CXRSEARCH_FUZZ=$(FUZZ) $(BIN)/pytest tests/fuzz

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/python -m benchmarks.metrics
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.kills
	$(BIN)/python -m benchmarks.phantom_learnable

$(READY_BENCH): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

# Both go on where they stopped; another --seeds or --samplers adds to what there is.
bench-search: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search run --half tune $(if $(FAST),--fast) $(ARGS)

bench-judge: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search run --half judge --fresh $(ARGS)

# One environment a library, since they need other versions than the project; one alone:
# make bench-peer-smac.
bench-peers: $(READY_BENCH) $(patsubst $(REQUIREMENTS)/%.txt,bench-peer-%,$(wildcard $(REQUIREMENTS)/*.txt)) \
  bench-peer-auto

bench-peer-%: $(PEERS)/%/.ready ;

# OptunaHub's client takes AutoSampler from a registry on GitHub, where no checkout of it is named.
bench-peer-auto: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search.peers.auto_sampler

# HEBO asks for gigabytes that it does without; its file has all that it imports.
$(PEERS)/hebo/.ready: ALONE := --no-deps

.PRECIOUS: $(PEERS)/%/.ready
$(PEERS)/%/.ready: $(REQUIREMENTS)/%.txt | $(READY)
	@echo "Installing into $(@D); this takes a few minutes once."
	rm -rf $(@D)
	$(BIN)/python -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet $(ALONE) --requirement $<
	@touch $@

bench-stopping: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search.stopping $(if $(FAST),--fast) $(ARGS)

bench-workers: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search.cost
	$(BIN)/python -m benchmarks.search.asks $(if $(FAST),late running --sizes 300)
	$(BIN)/python -m benchmarks.search.workers $(if $(FAST),--fast) $(ARGS)

bench-transfer: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search.transfer $(if $(FAST),--fast) $(ARGS)

bench-fronts: $(READY_BENCH)
	$(BIN)/python -m benchmarks.search.fronts $(if $(FAST),--fast) $(ARGS)

# All of them, also where one misses its target; 1 at the end if one did.
TRAINING := metrics fetch model parts bounds equal plain quality together busy sizes
bench-training: $(READY)
	@missed=; for name in $(TRAINING); do echo "== $$name"; \
	  $(BIN)/python -m benchmarks.training $$name $(if $(FAST),--fast) $(ARGS) || missed="$$missed $$name"; \
	done; if [ -n "$$missed" ]; then echo "missed or failed:$$missed"; exit 1; fi

clean:
	rm -rf $(VENV) $(PEERS) build *.egg-info
