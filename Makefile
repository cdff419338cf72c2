# Everything runs from .venv, which follows the pinned requirements. Paths are relative: the folder's name may hold spaces.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --require-hashes --only-binary :all:
# Lint loads the settings and talks to no server.
NOWHERE := env DATABASE_URL=postgresql://nobody@localhost:1/none REDIS_URL=redis://localhost:1 TASKHUB_SECRET_KEY=lint
PYTEST := env -u MAKEFLAGS -u MFLAGS $(BIN)/python -m pytest -n 4 --dist loadgroup
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml

.PHONY: run test lint pytest ruff mypy imports migrations demo bench screenshots chrome otel compile
.DELETE_ON_ERROR:

run: .venv/installed  ## start the hub: make run PORT=8123 ARGS="--workers 4"
	@exec $(BIN)/python manage.py up --port $(PORT) $(ARGS)

test: .venv/installed-dev  ## lint takes what the tests leave of the processors; migrations are a test, too
	@$(MAKE) --no-print-directory --jobs 4 ruff mypy imports pytest BESIDE="nice -n 5"

lint: .venv/installed-dev  ## each check beside the others
	@$(MAKE) --no-print-directory --jobs 4 --output-sync ruff mypy imports migrations

pytest:  ## tests call make, too; with AGAIN=1 what failed runs once more, by itself
	$(PYTEST) $(ARGS) || { [ $$? = 1 ] && [ "$(AGAIN)" ] && $(PYTEST) $(ARGS) --last-failed; }

ruff:
	$(BESIDE) $(BIN)/ruff check .
	$(BESIDE) $(BIN)/ruff format --check .

mypy:
	$(BESIDE) $(NOWHERE) $(BIN)/mypy .

imports:
	$(BESIDE) $(NOWHERE) $(BIN)/lint-imports

migrations:
	$(BESIDE) $(NOWHERE) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run

demo: .venv/installed-client  ## the client is used as it is here
	@exec env PYTHONPATH=client/src $(BIN)/python manage.py demo $(ARGS)

bench: .venv/installed-bench  ## all rows, or one: make bench ROW=submit
	@exec $(BIN)/python -m tests.benchmarks $(ROW)

screenshots: .venv/installed-dev  ## draw the pictures of docs/images anew
	$(BIN)/python -m pytest -n 0 tests/browser/screenshots.py

chrome: .venv/installed-chrome  ## install what renders pages in Chromium

otel: .venv/installed-otel  ## install what sends traces

compile: .venv/installed-dev  ## pin the requirements anew
	$(COMPILE) --group dev --output-file requirements-dev.txt
	$(COMPILE) --constraint requirements-dev.txt --output-file requirements.txt
	$(COMPILE) --extra chrome --constraint requirements-dev.txt --output-file requirements-chrome.txt
	$(COMPILE) --extra otel --constraint requirements-dev.txt --output-file requirements-otel.txt
	$(COMPILE) --group client --constraint requirements-dev.txt --output-file requirements-client.txt
	$(COMPILE) --group dev --group bench --constraint requirements-dev.txt --output-file requirements-bench.txt

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "taskhub needs Python 3.11 or newer: make PYTHON=python3.x")'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	@echo "Installing the pinned packages into .venv: this takes about a minute"
	$(PIP) --requirement requirements.txt
	@touch $@

.venv/installed-chrome: requirements-chrome.txt .venv/installed | .venv/bin/python
	$(PIP) --requirement requirements-chrome.txt
	@touch $@

.venv/installed-otel: requirements-otel.txt .venv/installed | .venv/bin/python
	$(PIP) --requirement requirements-otel.txt
	@touch $@

.venv/installed-client: requirements-client.txt .venv/installed | .venv/bin/python
	$(PIP) --requirement requirements-client.txt
	@touch $@

.venv/installed-bench: requirements-bench.txt .venv/installed-dev | .venv/bin/python
	$(PIP) --requirement requirements-bench.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt .venv/installed | .venv/bin/python
	$(PIP) --no-compile --requirement requirements-dev.txt
	@touch $@
