# What `make` prints: a target on each line.
#> install  the environment .venv, from constraints.txt
#> demo     the whole chain on generated street scenes: about 16 minutes on two cores
#> resume   continue a crashed or interrupted run (ARGS="..." for other Snakemake arguments)
#> test     everything that is checked before a change lands
#> lint     format, types, workflow lint, the rules of the house
#> docs     the documentation site, in site/docs/; a broken link is an error
#> bench    every benchmark; figures go to benchmarks/results/
#> clean    remove results, logs and the site
.DEFAULT_GOAL := help
SHELL := bash
VENV ?= .venv
CORES ?= all
# Most tests wait for one thread of a stage; two of them at a time keep two cores busy.
TEST_PROCESSES ?= 2
# The first interpreter that is new enough; `make PYTHON=...` overrides.
PYTHON ?= $(shell for p in python3 python3.12 python3.13 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin
# Jobs are started as `python`: that of the environment.
export PATH := $(abspath $(BIN)):$(PATH)
INSTALLED := $(VENV)/.installed

.PHONY: help install demo resume test lint docs bench clean

help:
	@echo "Usage: make TARGET (CORES=$(CORES), VENV=$(VENV))"
	@sed -n 's/^#> /  /p' $(MAKEFILE_LIST)

install: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/snakemake --cores $(CORES)
	@echo "Open results/streets/report/index.html in a browser."

resume: $(INSTALLED)
	$(BIN)/python -m pseudogt.workflow.resume $(if $(ARGS),-- $(ARGS))

test: lint
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n $(TEST_PROCESSES) -m "not slow and not slurm" \
		--ignore tests/lint tests

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint
	$(BIN)/python -m pytest -q tests/lint

docs: $(INSTALLED)
	$(BIN)/zensical build --strict
	cp -r configs site/

bench: $(INSTALLED)
	mkdir -p benchmarks/results
	for script in pq wsps proposals datasets exports overhead training loop; do \
		$(BIN)/python benchmarks/$$script.py --json benchmarks/results/$$script.json || exit 1; done

clean:
	rm -rf results logs .snakemake site

$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed; name one with make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
