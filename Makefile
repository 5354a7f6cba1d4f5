# Every target makes its own environment first; all that is wanted of the machine is Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run side by side, one thread each: torch would otherwise fight itself for the cores.
JOBS ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count() or 1)")

.PHONY: demo up test lint test-faults test-api test-intake test-compose bench-engine bench-search bench-service clean

demo: $(INSTALLED)  ## One real job from submission to the finetuned model, in some twenty seconds
	$(BIN)/lrsearch demo --out out/demo

up: $(INSTALLED)  ## Service, dashboard and a local worker on SQLite, on loopback
	$(BIN)/lrsearch up

test: $(INSTALLED)  ## All tests, on SQLite and on PostgreSQL
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS)

lint: $(INSTALLED)  ## Style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench-engine: $(INSTALLED)  ## The finetune engine against a plain PyTorch script; BENCH="--size …" for options
	$(BIN)/python -m tests.benchmarks.engine measure $(BENCH)

bench-search: $(INSTALLED)  ## Strategies replayed on the table of real tasks; BENCH="--plot …" for options
	$(BIN)/python -m tests.benchmarks.search $(BENCH)

bench-service: $(INSTALLED)  ## Claims, suggestions and heartbeats a second, by a simulated fleet; BENCH=--quick is short
	$(BIN)/python -m tests.benchmarks.service $(BENCH)

test-faults: $(INSTALLED)  ## A fleet whose every part is broken at random, within ten minutes; FAULTS="--seed …"
	$(BIN)/python -m tests.faults $(FAULTS)

test-api: $(INSTALLED)  ## Thousands of requests that Schemathesis makes of the API's description; FUZZ="--seed …"
	$(BIN)/python -m tests.fuzz api $(FUZZ)

test-intake: $(INSTALLED)  ## Ten thousand broken and hostile archives and images; FUZZ="--seed …"
	$(BIN)/python -m tests.fuzz intake $(FUZZ)

test-compose:  ## The deployed set-up, built and run by Docker
	docker/smoke.sh

clean:  ## Remove the environment and what was made
	rm -rf $(VENV) out dist .mypy_cache .pytest_cache .ruff_cache

$(VENV): $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else 'lrsearch needs Python 3.11 or newer; name one: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --progress-bar off -c constraints.txt -e ".[service,worker,gp,dev]"
	@touch $@
