# Everything happens in a virtual environment of its own: make demo, make test.
#
#   PYTHON   the interpreter that the environment is made from (3.10 or newer)
#   VENV     where the environment is
#
# make test-matrix makes a second one, with transformers 4, in $(VENV)-transformers4.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= $(CURDIR)/constraints.txt

BIN := $(VENV)/bin
PIPELINE := en_trf_bert
PIPELINE_VERSION := 0.1.0
WHEEL := dist/$(PIPELINE)-$(PIPELINE_VERSION)-py3-none-any.whl

# pip installs the tested versions, also where it builds in isolation.
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := $(shell find trf_bridge -name '*.py' -o -name '*.pyx' -o -name '*.pyi' -o -name '*.txt' -o -name py.typed)
RECIPE := packaging/build.py packaging/recipes/$(PIPELINE).cfg

.PHONY: help install demo test test-matrix bench lint types docs check dist clean
.DELETE_ON_ERROR:

SOURCES += $(wildcard trf_bridge/pictures/assets/*)

help:
	@echo "make demo    install everything, build and install $(PIPELINE), run the quickstart"
	@echo "make test    install everything, run the tests against the installed package"
	@echo "make test-matrix  the same with transformers 5 and 4, each also on what the other saved"
	@echo "make bench   compare the speed with plain transformers; PEERS=1 with peers too, which it"
	@echo "             installs; BENCH='...' for options of benchmarks/bench.py"
	@echo "make lint    ruff: rules and format"
	@echo "make types   mypy, strict"
	@echo "make docs    the documentation, in docs/_build/html; a warning stops it"
	@echo "make check   lint, types, docs and test"
	@echo "make dist    the source distribution and the wheel of trf_bridge"
	@echo "make clean   remove the environment and everything that was built"

demo: $(VENV)/.pipeline
	@echo "== examples/quickstart.py"
	@$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed
	@echo "== tests, against the installed package"
	@cd / && $(abspath $(BIN))/python -c 'import trf_bridge; print("testing", trf_bridge.__file__)'
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

# A second environment, which differs in the lines of constraints-transformers4.txt alone.
MATRIX := $(CURDIR)/.cache/matrix
WITH_4 := VENV=$(VENV)-transformers4 CONSTRAINTS=$(MATRIX)/constraints.txt

test-matrix: $(VENV)/.installed $(MATRIX)/constraints.txt
	@echo "== environment with transformers 4"
	@$(MAKE) --no-print-directory install $(WITH_4)
	@rm -rf $(MATRIX)/saved-by-4 $(MATRIX)/saved-by-5
	@$(VENV)-transformers4/bin/python tests/support/save_families.py $(MATRIX)/saved-by-4
	@$(BIN)/python tests/support/save_families.py $(MATRIX)/saved-by-5
	@echo "== transformers 4"
	@TRF_BRIDGE_TEST_SAVED=$(MATRIX)/saved-by-5 $(MAKE) --no-print-directory test $(WITH_4)
	@echo "== transformers 5"
	@TRF_BRIDGE_TEST_SAVED=$(MATRIX)/saved-by-4 $(MAKE) --no-print-directory test

# pip takes no two versions of one package: the lines of the one file replace those of the other.
$(MATRIX)/constraints.txt: constraints.txt constraints-transformers4.txt
	@mkdir -p $(MATRIX)
	@awk -F== '/^#/ {next} NR == FNR {other[$$1]; print; next} !($$1 in other)' \
		constraints-transformers4.txt constraints.txt > $@

# The peers pin other versions than this project, so each has an environment, and no constraints.
PEERS_FOLDER := .cache/peers
PEER_NAMES := $(basename $(notdir $(wildcard benchmarks/peers/*.txt)))

bench: $(VENV)/.pipeline $(if $(PEERS),$(PEER_NAMES:%=$(PEERS_FOLDER)/%/.installed))
	@echo "== benchmark"
	@$(BIN)/python benchmarks/bench.py $(if $(PEERS),--peers $(PEERS_FOLDER)) $(BENCH)

$(PEERS_FOLDER)/%/.installed: benchmarks/peers/%.txt
	@echo "== environment of $*"
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(@D)/bin/python -m pip install -r $<
	@touch $@

lint: $(VENV)/.installed
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed
	@echo "== mypy"
	@$(BIN)/mypy
	@$(BIN)/mypy examples/thinc_tagger.py

# -E builds every page anew: parts of them come from the code, which Sphinx does not look at.
docs: $(VENV)/.pipeline
	@echo "== documentation"
	@$(BIN)/sphinx-build -W --keep-going -q -E docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: lint types docs test

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
$(VENV)/.installed: $(VENV)/.created setup.py pyproject.toml $(CONSTRAINTS) README.md $(SOURCES)
	@echo "== trf_bridge and its dependencies"
	@rm -rf build
	@$(BIN)/python -m pip install ".[dev,docs,bench]"
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
	rm -rf $(VENV) $(VENV)-transformers4 build dist docs/_build .cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
