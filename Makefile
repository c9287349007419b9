# Rejoinder: `make chat` talks to the assistant, `make test` runs the tests; both set everything up first.
# Needs make, git, and uv or any Python from 3.8 on (uv finds or fetches the Python 3.10 that rasa needs). Extra arguments: make chat ARGS="--debug"

SHELL := /bin/sh
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.ready
UV_VERSION := 0.13.9
ARGS ?=

# The uv that is there already, or one in a virtual environment of its own.
FIND_UV = uv=$$(command -v uv || echo "$(CURDIR)/.uv/bin/uv")

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup chat serve demo train test quick benchmark lint check format words requirements clean

help: ## list what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

setup: $(STAMP) ## everything into .venv/ (again only when the requirements change)

$(STAMP): requirements.txt pyproject.toml .python-version
	@$(FIND_UV); \
	if [ ! -x "$$uv" ]; then $(MAKE) --no-print-directory .uv/bin/uv || exit 1; fi; \
	echo "Setting up $(VENV)/ with Python $$(cat .python-version): a few GB the first time, then seconds."; \
	"$$uv" venv --quiet --allow-existing $(VENV) || \
		{ echo "Python $$(cat .python-version) was not found and could not be fetched: install it first." >&2; exit 1; }; \
	"$$uv" pip sync --compile-bytecode --python $(PYTHON) --require-hashes --build-constraints requirements.txt requirements.txt && \
	"$$uv" pip install --quiet --python $(PYTHON) --no-deps --build-constraints requirements.txt --editable .
	@touch $@

# From the root folder: a pyenv in front of python3 would obey our .python-version and fail where 3.10 is missing.
.uv/bin/uv:
	@here="$(CURDIR)"; cd / && \
	{ python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))' || \
		{ echo "Python 3.8 or later is needed as python3 (or uv on the PATH)." >&2; exit 1; }; } && \
	{ python3 -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "python3 lacks venv: install it first (on Debian or Ubuntu: apt-get install python3-venv)." >&2; exit 1; }; } && \
	python3 -m venv "$$here/.uv" && \
	"$$here/.uv/bin/python" -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

chat: setup ## talk to the assistant in the terminal
	@$(PYTHON) -m agent chat $(ARGS)

serve: setup ## the assistant on port 5005, the console on port 8000
	@$(PYTHON) -m agent serve $(ARGS)

demo: setup ## simulated customers, and the console on what was learned from them, on port 8000
	@$(PYTHON) -m agent demo $(ARGS)

train: setup ## train the assistant
	@$(PYTHON) -m agent train $(ARGS)

# On two processes: most tests wait for a server or a training, and each group of tests keeps one server to itself.
test: setup ## all tests
	$(PYTHON) -m pytest --benchmark-disable --numprocesses 2 --dist loadgroup $(ARGS)

quick: setup ## the tests that take seconds
	$(PYTHON) -m pytest --benchmark-disable -m "not slow" $(ARGS)

benchmark: setup ## measure the hot paths
	$(PYTHON) -m pytest tests/benchmarks --benchmark-only $(ARGS)

lint: setup ## style, formatting, types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

check: lint quick ## style, formatting, types and the tests that take seconds

format: setup ## put the code in shape
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

words: setup ## bring the console's words to agent/console/locales/, to be translated
	$(PYTHON) -m agent.console.words

# Hashes of every wheel; one list for Linux and macOS. The two substitutions drop what is true wherever it is read.
requirements: $(STAMP) ## compile requirements.txt anew (all of it: make requirements ARGS=--upgrade)
	@$(FIND_UV); \
	"$$uv" pip compile pyproject.toml --all-extras --universal --python-version "$$(cat .python-version)" \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet $(ARGS) --output-file requirements.txt && \
	sed -e "s/python_full_version < '3.11' and //" \
		-e "s/ ; (sys_platform == 'darwin' or sys_platform == 'linux') / /" requirements.txt > requirements.txt.new && \
	mv requirements.txt.new requirements.txt

clean: ## remove what setup and the tests left (not what was learned)
	rm -rf $(VENV) .uv *.egg-info build .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
