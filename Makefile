# Every target makes its own environment first; a second call installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install ioi test check bench format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

ioi: $(INSTALLED)  ## the canned IOI analysis of the bundled model
	$(BIN)/interp ioi

test: $(INSTALLED)  ## the tests
	$(BIN)/python -m pytest

check: $(INSTALLED)  ## everything a change must pass
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

bench: $(INSTALLED)  ## how fast the interventions are, beside TransformerLens
	$(BIN)/python -m tests.benchmarks

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) out
