# Two commands on a fresh machine that has Python 3.11-3.13, make and git:
#   make book    the rendered book, every notebook executed
#   make test    unit tests, doctests, and every notebook checked against its stored outputs

VENV   ?= .venv
OUT    ?= .
PORT   ?= 8000
PYTHON ?=
NEWEST ?=
JOBS   ?= auto

PY      := "$(VENV)/bin/python"
BUILD   := $(OUT)/_build
REPORTS := $(BUILD)/reports
PYTEST  := OMP_NUM_THREADS=1 $(PY) -m pytest -q -p no:cacheprovider
# A file's tests stay on one worker, and the files that take longest begin.
SHARED  := $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder

# Dozens of processes start below. Where compiled modules may not be kept, each would compile torch and all others anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup lint format test unit slow kernels nbval gpu book serve notebooks bench lock linkcheck clean distclean

help: ## Show this list
	@echo "make targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "  %-11s %s\n", $$1, $$2}'
	@echo "variables: PYTHON=python3.12 VENV=$(VENV) OUT=$(OUT) PORT=$(PORT)"

# The first Python of the supported range, or the one that PYTHON names.
setup: ## Make the virtual environment (every other target does this by itself)
	@for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
	  if command -v "$$candidate" >/dev/null 2>&1 && \
	     "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then \
	    exec "$$candidate" tools/bootstrap.py --venv "$(VENV)" $(if $(NEWEST),--newest); \
	  fi; \
	done; \
	echo "error: no Python 3.11, 3.12 or 3.13 found$(if $(PYTHON), at $(PYTHON)) (python3 is: $$(python3 --version 2>&1)). Install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1

lint: setup ## Style, types, notebook pairs
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy && $(PY) tools/notebooks.py --check

format: setup ## Let ruff mend what it can
	@$(PY) -m ruff check --fix . ; $(PY) -m ruff format .

test: unit nbval ## Unit tests, doctests and every notebook
	@$(PY) tools/count.py "$(REPORTS)" --slowest 10

unit: kernels
	@mkdir -p "$(REPORTS)"
	@$(SHARED) -p no:nbval --junitxml="$(REPORTS)/unit.xml"

slow: kernels ## What is too slow for each change, such as wheels as Colab has them (needs the internet)
	@mkdir -p "$(BUILD)"
	@$(SHARED) -p no:nbval -m "(slow or check) and not gpu and not built and not official" --junitxml="$(BUILD)/slow.xml"

gpu: setup ## The tests that need a CUDA device
	@$(PY) -m pytest -q -n 0 -m gpu $$(grep -rl 'mark.gpu' tests)

kernels: setup
	@$(PY) tools/warm_up.py

nbval: kernels
	@mkdir -p "$(REPORTS)"
	@PYTHONPATH=tools $(SHARED) --nbval --nbval-current-env --nbval-sanitize-with tools/nbval.cfg \
	  -p keep_executed --keep-executed "$(BUILD)/executed" -W default --junitxml="$(REPORTS)/notebooks.xml" notebooks

book: kernels ## Execute every notebook at the quick scale and render the book
	@$(PY) tools/build_book.py --out "$(OUT)"
	@$(PYTEST) -n 0 -p no:nbval -m built --built-book "$(BUILD)/html" --junitxml="$(REPORTS)/book.xml" tests/book

serve: book ## Serve the book to your browser (PORT=8000)
	@$(PY) -m http.server $(PORT) --bind localhost --directory "$(BUILD)/html"

notebooks: kernels ## Execute every notebook and store its outputs in the pair
	@$(PY) tools/notebooks.py --execute $(ONLY)

bench: setup ## Measure against the peers a user would pick (ONLY=, TEXT=, DOCUMENTS=, GPT2=)
	@$(PY) -m pip install -q -c constraints.txt -e ".[bench]"
	@$(PY) benchmarks/everything.py --out "$(BUILD)/benchmarks" $(if $(ONLY),--only "$(ONLY)") \
	  $(if $(TEXT),--text "$(TEXT)") $(if $(DOCUMENTS),--documents "$(DOCUMENTS)") $(if $(GPT2),--gpt2 "$(GPT2)")

lock: setup ## Write the installed tree to constraints.txt
	@$(PY) tools/lock.py

linkcheck: setup ## Follow every external link of the book (needs the internet)
	@$(PY) tools/build_book.py --out "$(OUT)" --builder linkcheck

clean: ## Remove what builds made; keep the environment
	@rm -rf "$(BUILD)" build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.venv/*' -type d -prune -exec rm -rf {} +

distclean: clean ## Remove the environment too
	@rm -rf "$(VENV)"
