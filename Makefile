# `make demo` runs a whole small study and ends with a report; `make test` runs the tests. Both set everything up.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# SYSTEM=1 reuses a torch that is already installed (for example a CUDA build) instead of installing one.
SYSTEM ?=
# Test files run in this many processes, one thread each.
WORKERS ?= 2
FLAGS  := $(if $(SYSTEM),--system-site-packages,)
STAMP  := $(VENV)/.ready

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM = false

.PHONY: demo test lint setup check wheel clean

demo: setup
	$(BIN)/vprobe demo --out runs/demo

test: setup
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

check: setup
	$(BIN)/python scripts/check_story.py

wheel: setup
	$(BIN)/python -m build --wheel --no-isolation

setup: $(STAMP)

# torch comes first and alone: with it in place nothing else pulls another build of it.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(FLAGS) $(VENV)
	@$(if $(SYSTEM),$(BIN)/python -c "import torch" 2>/dev/null ||,) $(BIN)/python -m pip install -q torch==2.13.0
	@$(BIN)/python -m pip install -q $(if $(SYSTEM),,-c constraints.txt) -e ".[backends,dev]"
	@touch $(STAMP)

clean:
	rm -rf $(VENV) runs dist build
