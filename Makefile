# `make run` and `make test` are all it takes on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/python

# LOCKED=1, which CI sets: exactly the versions and files of requirements.lock. Users get the newest.
LOCK := requirements.lock
INSTALL := $(IN_VENV) -m pip install --quiet --disable-pip-version-check $(if $(LOCKED),--require-hashes)
RUN_NEEDS := $(if $(LOCKED),$(LOCK),requirements.txt)
TEST_NEEDS := $(if $(LOCKED),$(LOCK),requirements-dev.txt)

.PHONY: run test check lint types format platforms fuzz bench lock audit update-ytdlp

## run: set up what is needed and serve; ARGS="--port 9000" is handed on
run: $(VENV)/run.stamp
	$(IN_VENV) downloader_main.py $(ARGS)

## test: set up what is needed and run the tests; ARGS="-k detector" is handed on
test: $(VENV)/test.stamp
	$(IN_VENV) -m pytest $(ARGS)

## check: what to run before each commit, in under a minute: lint, types, quick tests that start no program
check: lint types
	$(IN_VENV) -m pytest -q -n 3 --dist worksteal -m "not integration and not thorough and not slow and not live" $(ARGS)

lint: $(VENV)/test.stamp
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .

types: $(VENV)/test.stamp
	$(IN_VENV) -m mypy

format: $(VENV)/test.stamp
	$(IN_VENV) -m ruff check --fix .
	$(IN_VENV) -m ruff format .

## platforms: the page's copy of the platforms
platforms: $(VENV)/run.stamp
	$(IN_VENV) -m portal.generate

## fuzz: a million made-up inputs for what reads strangers' text; ARGS="host --inputs 10000 --seed 2" is handed on
fuzz: $(VENV)/test.stamp
	$(IN_VENV) -m fuzz $(ARGS)

## bench: time, processor and memory against other ways to fetch the same; ARGS="--only ours curl --json f" is handed on
bench: $(VENV)/test.stamp
	$(IN_VENV) -m benchmarks.throughput $(ARGS)

## lock: the newest versions that fit requirements*.txt, for every Python and system, with the hashes of all their files
lock: .venv-lock/bin/uv
	.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  requirements-dev.txt -o $(LOCK)

## audit: does the lock hold a version with a known vulnerability?
audit: $(VENV)/test.stamp
	$(IN_VENV) .ci/audit.py $(LOCK)

.venv-lock/bin/uv:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv

## update-ytdlp: platforms change often; this is the cure for most "has changed its pages" errors
update-ytdlp: $(VENV)/run.stamp
	$(IN_VENV) -m pip install --upgrade "yt-dlp[default,curl-cffi,deno]"

$(IN_VENV):
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(RUN_NEEDS) | $(IN_VENV)
	$(INSTALL) -r $(RUN_NEEDS)
	touch $@

$(VENV)/test.stamp: $(TEST_NEEDS) $(VENV)/run.stamp | $(IN_VENV)
	$(INSTALL) -r $(TEST_NEEDS)
	touch $@
