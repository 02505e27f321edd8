# Everything that people and CI run. `make demo` and `make test` need Python 3.11, make and the package index, no more.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?= 2.13.0
# How many processes share the tests, a file at a time.
WORKERS ?= 2
# Tests start many processes: what one has compiled, the next should find.
export PYTHONDONTWRITEBYTECODE :=
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test check lint types layers unit format families results clean

## demo: fine-tune the embedded model on the embedded task, disable every head, write the report
demo: $(VENV)/demo.done
	$(BIN)/headscope study --out runs/demo

## test: everything that CI checks
test: $(VENV)/dev.done
	$(MAKE) check

check: lint types layers unit

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

layers:
	$(BIN)/lint-imports

unit:
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## families: measure every family of transformers on tiny models and write docs/families.md; two minutes
families: $(VENV)/dev.done
	$(BIN)/python tools/families_page.py

## results: the heavy runs on real data (HEADSCOPE_DATA) whose tables are committed under docs/results; those on relations
## where HEADSCOPE_UD, HEADSCOPE_FRAMENET and HEADSCOPE_MODELS name their data, models of base size where HEADSCOPE_MODELS has
## mpnet; what docs/results/speed.jsonl has already is not timed again. Table 1: tools/table1.py make, ten hours; which heads
## can go: tools/pruning_results.py, a day or two
results: $(VENV)/dev.done
	$(BIN)/python tools/results.py
	$(BIN)/python tools/together_results.py
	test -z "$(HEADSCOPE_MODELS)" || $(BIN)/python tools/embedding_results.py
	test -z "$(HEADSCOPE_UD)" || $(BIN)/python tools/relation_results.py
	test -z "$(HEADSCOPE_UD)" || $(BIN)/python tools/token_results.py
	test -z "$(HEADSCOPE_MODELS)" || $(BIN)/python tools/base_size_results.py
	PYTHONPATH=benchmarks $(BIN)/python tools/speed_results.py
	PYTHONPATH=benchmarks $(BIN)/python tools/pruning_results.py --page
	$(BIN)/python tools/statistics_page.py
	$(BIN)/python tools/table1.py

# The CPU build of torch by its exact version: from the index at hand where that has it, else from PyTorch's own index
# of CPU builds (the plain package on Linux brings gigabytes of CUDA). On macOS the plain package is the CPU build.
# With a GPU: make demo TORCH=skip after installing torch into the environment by hand.
$(VENV)/torch.done:
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
ifeq ($(TORCH),skip)
	$(BIN)/python -c "import torch"
else ifeq ($(shell uname -s),Darwin)
	$(PIP) install --quiet torch==$(TORCH)
else
	$(PIP) install --quiet "torch==$(TORCH)+cpu" || \
	$(PIP) install --quiet --index-url https://download.pytorch.org/whl/cpu "torch==$(TORCH)+cpu"
endif
	touch $@

$(VENV)/demo.done: $(VENV)/torch.done pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[offline]'
	touch $@

$(VENV)/dev.done: $(VENV)/torch.done pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable '.[offline,words,framenet,onnx,data,cluster,dev]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
