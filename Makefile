# Every command of the project. `make` alone lists them; CI runs the same ones (.ci/run).

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.outdial-setup
# Extra arguments, e.g. make test ARGS="tests/unit/sip -x".
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup test-programs demo test unit check format bench bad-documents fuzz fuzz-messages hostile soak soak-tests faults chaos chaos-nodes chaos-dial chaos-stop clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## Make .venv with Outdial and its development tools in it

$(STAMP): pyproject.toml tools/setup-venv
	@tools/setup-venv $(VENV)
	@touch $@

test-programs: ## Install the programs that the tests talk to (Debian, Ubuntu; as root)
	@tools/setup-test-programs

demo: setup ## Place a call to a simulated phone and watch it happen
	@$(BIN)/outdial demo $(ARGS)

# Three at a time, on every machine alike: the system tests wait most of their time, but each runs
# several servers, and more of them beside each other would be late on two cores. What is promised
# in milliseconds is tried afterwards, with nothing beside it. Exit status 5: ARGS chose none of them.
# A file's tests share a server, so one process has them all; the long files come before the units.
test: setup test-programs ## Run the tests
	$(BIN)/python -m pytest -m "not soak and not alone" -n 3 --dist loadfile --no-loadscope-reorder $(ARGS) || [ $$? -eq 5 ]
	$(BIN)/python -m pytest -m alone $(or $(ARGS),tests/system) || [ $$? -eq 5 ]

unit: setup ## Run the unit tests only, on every core
	$(BIN)/python -m pytest -n auto tests/unit $(ARGS)

check: setup ## What CI runs: format, lint, types, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory test

format: setup ## Rewrite the sources in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Measure speed, latency and memory on this machine
	$(BIN)/python -m bench $(ARGS)

bad-documents: setup ## Measure what each of 160 bad documents costs the event loop (5 minutes)
	PYTHONPATH=tests $(BIN)/python -m bench.bad_documents $(ARGS)

faults: setup test-programs ## Carriers' faults: in virtual time, then each over sockets, then SIPp's (10 minutes)
	$(BIN)/python -m pytest tests/faults tests/unit/media/test_media_plane.py \
		tests/system/sipp/test_sipp_outcomes.py tests/system/sipp/test_sipp_quirks.py \
		tests/system/sipp/test_sipp_gather.py $(ARGS)

# Guided by what each input makes the readers do; FUZZ names targets, e.g. make fuzz FUZZ="sdp rtp".
FUZZ_SECONDS ?= 180
FUZZ ?=
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q

fuzz: setup ## Fuzz every reader, guided by coverage (3 minutes each); finds become tests
	@$(BIN)/python -c "import atheris" 2>/dev/null || $(PIP) -e ".[fuzz]"
	PYTHONPATH=tests $(BIN)/python -m fuzz.guided --seconds $(FUZZ_SECONDS) $(FUZZ)

fuzz-messages: setup ## Throw hundreds of thousands of bad messages at the parsers and a live port
	OUTDIAL_FUZZ=$(or $(OUTDIAL_FUZZ),300000) $(BIN)/python -m pytest --timeout=3600 tests/fuzz $(ARGS)

# More options in HOSTILE, e.g. make hostile HOSTILE="--messages 1000000 --rate 2000 --seed 7".
HOSTILE ?=

hostile: setup ## Send ten million hostile SIP messages to a server that has to go on working (30 minutes)
	PYTHONPATH=tests $(BIN)/python -u -m hostile --write docs/reliability.md $(HOSTILE)

# More options in SOAK, e.g. make soak SOAK="--minutes 3 --calls 20". As root, on Linux.
SOAK ?=

soak: setup test-programs ## 50 calls at once for half an hour, with tones both ways, over a line that loses packets
	PYTHONPATH=tests $(BIN)/python -u -m soak --write docs/reliability.md $(SOAK)

soak-tests: setup test-programs ## Run the tests that take minutes
	$(BIN)/python -m pytest -m soak $(ARGS)

# Each ends with exit status 1 when a promise was broken, and writes what it measured into the page.
# More options in CHAOS, e.g. make chaos CHAOS="--rate 40 --seed 7".
CHAOS_KILLS ?= 120
CHAOS_POSTS ?= 40000
CHAOS_DIAL_KILLS ?= 2000
CHAOS ?=
RUN_CHAOS = PYTHONPATH=tests $(BIN)/python -u -m chaos
FIGURES ?= docs/reliability.md

chaos: setup ## Kill a busy server at random, over and over, and count what is lost (20 minutes)
	$(RUN_CHAOS) kill --kills $(CHAOS_KILLS) --posts $(CHAOS_POSTS) --write $(FIGURES) $(CHAOS)

chaos-nodes: setup test-programs ## The same with two servers on one PostgreSQL database (10 minutes)
	$(RUN_CHAOS) kill --nodes 2 --store-url postgresql --kills 40 --posts 10000 --rate 40 \
		--figures nodes --write $(FIGURES) $(CHAOS)

chaos-dial: setup ## Kill it thousands of times around the moment of dialling (20 minutes)
	$(RUN_CHAOS) dial --kills $(CHAOS_DIAL_KILLS) --write $(FIGURES) $(CHAOS)

chaos-stop: setup ## Stop it in order under load, with patience and without (2 minutes)
	$(RUN_CHAOS) stop --write $(FIGURES) $(CHAOS)

clean: ## Remove what the commands above made
	rm -rf $(VENV) demo-output bench-results fuzz-corpus fuzz-failures .mypy_cache .ruff_cache .pytest_cache .hypothesis
