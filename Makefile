# README and CI call these; `make demo` and `make test` do all the set-up themselves on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: help setup demo check test bench gpu format

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# One stamp per extra, so that a set-up done once costs nothing afterwards.
$(VENV)/.run: pyproject.toml constraints.txt
	@echo "Installing into $(VENV): some minutes, about 6 GB."
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

setup: $(VENV)/.dev ## virtual environment with everything development needs

demo: $(VENV)/.run ## install, then a first answer on embedded images
	$(BIN)/python sweeps/koleo_accum.py

check: $(VENV)/.dev ## format, lint, types, fast tests: before every commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not ray and not slow' -n 2

test: $(VENV)/.dev ## everything CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: $(VENV)/.dev ## ratios, each measured side by side
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/accumulation.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/orchestration.py

format: $(VENV)/.dev ## rewrite what `make check` would complain of
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

gpu: $(VENV)/.run ## on a machine with a CUDA GPU: images/s, packing, accumulation, precision; no Ray
	$(BIN)/python benchmarks/gpu.py
