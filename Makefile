# `make run` and `make test` are all it takes on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/python

.PHONY: run test lint types format update-ytdlp

## run: set up what is needed and serve; ARGS="--port 9000" is handed on
run: $(VENV)/run.stamp
	$(IN_VENV) downloader_main.py $(ARGS)

## test: set up what is needed and run the tests; ARGS="-k detector" is handed on
test: $(VENV)/test.stamp
	$(IN_VENV) -m pytest $(ARGS)

lint: $(VENV)/test.stamp
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .

types: $(VENV)/test.stamp
	$(IN_VENV) -m mypy

format: $(VENV)/test.stamp
	$(IN_VENV) -m ruff check --fix .
	$(IN_VENV) -m ruff format .

## update-ytdlp: platforms change often; this is the cure for most "has changed its pages" errors
update-ytdlp: $(VENV)/run.stamp
	$(IN_VENV) -m pip install --upgrade "yt-dlp[default,curl-cffi,deno]"

$(IN_VENV):
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt | $(IN_VENV)
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/test.stamp: requirements-dev.txt $(VENV)/run.stamp | $(IN_VENV)
	$(IN_VENV) -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
