# `make` lists the targets. They run in a virtual environment, which the first one creates.
#
#   PYTHON   the interpreter of the environment (3.10 or newer)
#   VENV     the folder of the environment
#
# make test-matrix and make test-floor create more: $(VENV)-transformers4 and $(VENV)-floor.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= $(CURDIR)/constraints.txt

BIN := $(VENV)/bin
PIPELINE := en_trf_bert
PIPELINE_VERSION := 0.1.0
WHEEL := dist/$(PIPELINE)-$(PIPELINE_VERSION)-py3-none-any.whl

# pip installs the tested versions, also for builds in isolation.
export PIP_CONSTRAINT := $(CONSTRAINTS)
export PIP_BUILD_CONSTRAINT := $(CONSTRAINTS)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SOURCES := $(shell find trf_bridge -name '*.py' -o -name '*.pyx' -o -name '*.pyi' -o -name '*.txt' -o -name py.typed)
SOURCES += $(wildcard trf_bridge/pictures/assets/*)
RECIPE := packaging/build.py packaging/recipes/$(PIPELINE).cfg

.PHONY: help install demo test test-matrix test-floor bench bench-gpu lint types docs check dist clean
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.pipeline ## build and install the default pipeline package, then run examples/quickstart.py
	@echo "== examples/quickstart.py"
	@$(BIN)/python examples/quickstart.py

test: $(VENV)/.installed ## run the tests on the installed package
	@echo "== tests, against the installed package"
	@cd / && $(abspath $(BIN))/python -c 'import trf_bridge; print("testing", trf_bridge.__file__)'
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

# These environments differ from the first one in the lines of constraints-transformers4.txt and
# constraints-floor.txt only.
MERGED := $(CURDIR)/.cache/constraints
SAVED := $(CURDIR)/.cache/saved
WITH_4 := VENV=$(VENV)-transformers4 CONSTRAINTS=$(MERGED)/transformers4.txt
WITH_FLOOR := VENV=$(VENV)-floor CONSTRAINTS=$(MERGED)/floor.txt

test-matrix: $(VENV)/.installed $(MERGED)/transformers4.txt ## run the tests with transformers 5 and 4, each also on files saved by the other
	@echo "== environment with transformers 4"
	@$(MAKE) --no-print-directory install $(WITH_4)
	@rm -rf $(SAVED)
	@$(VENV)-transformers4/bin/python tests/support/save_families.py $(SAVED)/by-4
	@$(BIN)/python tests/support/save_families.py $(SAVED)/by-5
	@echo "== transformers 4"
	@TRF_BRIDGE_TEST_SAVED=$(SAVED)/by-5 $(MAKE) --no-print-directory test $(WITH_4)
	@echo "== transformers 5"
	@TRF_BRIDGE_TEST_SAVED=$(SAVED)/by-4 $(MAKE) --no-print-directory test

test-floor: $(MERGED)/floor.txt ## run the tests with the oldest versions that pyproject.toml allows
	@$(MAKE) --no-print-directory test $(WITH_FLOOR)

# pip accepts one version per package, so lines of the first file replace those of the second one.
$(MERGED)/%.txt: constraints-%.txt constraints.txt
	@mkdir -p $(@D)
	@awk -F== '/^#/ {next} NR == FNR {other[$$1]; print; next} !($$1 in other)' $^ > $@

# The peers need other versions than this project, so each has its own environment, without
# constraints.txt.
PEERS_FOLDER := .cache/peers
PEER_NAMES := $(basename $(notdir $(wildcard benchmarks/peers/*.txt)))

bench: $(VENV)/.pipeline $(if $(PEERS),$(PEER_NAMES:%=$(PEERS_FOLDER)/%/.installed)) ## run the benchmarks; PEERS=1 includes similar libraries, BENCH='...' passes options
	@echo "== benchmark"
	@$(BIN)/python benchmarks/bench.py $(if $(PEERS),--peers $(PEERS_FOLDER)) $(BENCH)

bench-gpu: $(VENV)/.pipeline ## run the benchmarks of a GPU; BENCH='...' passes options
	@echo "== benchmark on a GPU"
	@$(BIN)/python benchmarks/gpu.py $(BENCH)

$(PEERS_FOLDER)/%/.installed: benchmarks/peers/%.txt
	@echo "== environment of $*"
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D)
	@env -u PIP_CONSTRAINT -u PIP_BUILD_CONSTRAINT $(@D)/bin/python -m pip install -r $<
	@touch $@

lint: $(VENV)/.installed ## check style and format with ruff, and the words of the prose
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@echo "== prose"
	@$(BIN)/python packaging/check_prose.py

types: $(VENV)/.installed ## check types with mypy
	@echo "== mypy"
	@$(BIN)/mypy
	@$(BIN)/mypy examples/thinc_tagger.py

# -E rebuilds every page: parts of them are generated from the code, which Sphinx does not track.
docs: $(VENV)/.pipeline ## build the documentation in docs/_build/html; warnings are errors
	@echo "== documentation"
	@$(BIN)/sphinx-build -W --keep-going -q -E docs docs/_build/html
	@echo "docs/_build/html/index.html"

check: lint types docs test ## run lint, types, docs and test

dist: $(VENV)/.installed ## build the source distribution and the wheel in dist, and check them
	@echo "== source distribution and wheel"
	@rm -rf build
	@$(BIN)/python -m build --outdir dist
	@$(BIN)/python packaging/check_dist.py dist

install: $(VENV)/.installed ## create the environment and install the package with its tools

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is older than 3.10: make PYTHON=python3.11 ..."; exit 1; }
	@echo "== virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --upgrade pip
	@touch $@

# Without rm, setuptools would package modules from build/ that no longer exist in the sources.
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

clean: ## remove the environments and all build products
	rm -rf $(VENV) $(VENV)-transformers4 $(VENV)-floor build dist docs/_build .cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
