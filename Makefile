# Everything happens in a virtual environment of its own: make demo, make test.
#
#   PYTHON   the interpreter that the environment is made from (3.10 or newer)
#   VENV     where the environment is

PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PIPELINE := en_trf_bert
PIPELINE_VERSION := 0.1.0
WHEEL := dist/$(PIPELINE)-$(PIPELINE_VERSION)-py3-none-any.whl

# pip installs the tested versions, also where it builds in isolation.
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_BUILD_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := $(shell find trf_bridge -name '*.py' -o -name '*.pyx' -o -name '*.pyi' -o -name py.typed)
RECIPE := $(wildcard packaging/*.py packaging/licenses/*) packaging/recipes/$(PIPELINE).cfg

.PHONY: help install demo test lint types check dist clean
.DELETE_ON_ERROR:

help:
	@echo "make demo    install everything, build and install $(PIPELINE), run the quickstart"
	@echo "make test    install everything, run the tests against the installed package"
	@echo "make lint    ruff: rules and format"
	@echo "make types   mypy, strict"
	@echo "make check   lint, types and test"
	@echo "make dist    the source distribution and the wheel of trf_bridge"
	@echo "make clean   remove the environment and everything that was built"

demo: $(VENV)/.pipeline
	@echo "== examples/quickstart.py"
	@$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed
	@echo "== tests, against the installed package"
	@cd / && $(abspath $(BIN))/python -c 'import trf_bridge; print("testing", trf_bridge.__file__)'
	@$(BIN)/pytest

lint: $(VENV)/.installed
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed
	@echo "== mypy"
	@$(BIN)/mypy
	@$(BIN)/mypy examples/thinc_tagger.py

check: lint types test

dist: $(VENV)/.installed
	@echo "== source distribution, and a wheel from it"
	@rm -rf build
	@$(BIN)/python -m build --outdir dist
	@$(BIN)/python packaging/check_dist.py dist

install: $(VENV)/.installed

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is older than 3.10: make PYTHON=python3.11 ..."; exit 1; }
	@echo "== virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --upgrade pip
	@touch $@

# build/ is removed so that no module that is gone from the sources reaches the package.
$(VENV)/.installed: $(VENV)/.created setup.py pyproject.toml constraints.txt README.md $(SOURCES)
	@echo "== trf_bridge and its dependencies"
	@rm -rf build
	@$(BIN)/python -m pip install ".[dev]"
	@touch $@

$(WHEEL): $(VENV)/.installed $(RECIPE)
	@echo "== wheel of $(PIPELINE)"
	@$(BIN)/python packaging/build.py $(PIPELINE) --output dist --force

$(VENV)/.pipeline: $(WHEEL)
	@echo "== pip install $(WHEEL)"
	@$(BIN)/python -m pip install --force-reinstall --no-deps $(WHEEL)
	@$(BIN)/python -m pip check
	@touch $@

clean:
	rm -rf $(VENV) build dist .cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
