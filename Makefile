# Two commands on a fresh machine: `make run`, `make test`. Both need Python 3.11, make and a
# package index; everything else goes into .venv here.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/ready
COMMAND := $(BIN)/eslbot

.PHONY: help run call test eval chaos fuzz loadtest bench bench-peer rq-dashboard lint format clean

help: ## Show this
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

$(READY): requirements.txt setup.cfg
	@command -v $(PYTHON) >/dev/null || { echo "make: PYTHON=$(PYTHON) is not there; name a Python 3.11 with PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
	@touch $@

# The command line, from any folder, with the settings of .env as `run` has them.
$(COMMAND): $(READY)
	@printf '%s\n' '#!/bin/sh' \
		'PYTHONPATH="$(CURDIR)" exec "$(CURDIR)/$(BIN)/python" -m eslbot.with_env "$$@"' > $@
	@chmod +x $@

run: $(COMMAND) ## Start Redis, the listener and the workers; Ctrl-C ends them
	@$(BIN)/honcho run $(CURDIR)/$(BIN)/python -m eslbot check || [ $$? -eq 1 ]
	@exec $(BIN)/honcho start

call: $(READY) ## Call the running listener: SAY="..." KEYS="42#" WAV=file.wav INTERRUPT="..."
	@$(BIN)/honcho run $(CURDIR)/$(BIN)/python -m eslbot call \
		$(if $(WAV),--wav "$(WAV)") $(if $(SAY),--say "$(SAY)") \
		$(if $(KEYS),--keys "$(KEYS)") $(if $(INTERRUPT),--interrupt "$(INTERRUPT)")

# Tests mostly wait: for speech, time-outs, processes. Those of a file share their processes.
test: $(READY) ## Run all tests
	$(BIN)/python -m pytest -n 3 --dist loadfile

chaos: $(READY) ## Break a house of its own in every way: FAULTS="redis" CALLS=2
	$(BIN)/python -m eslbot chaos matrix --calls $(or $(CALLS),2) $(if $(FAULTS),--only "$(FAULTS)")

eval: $(READY) ## Call the example bots by voice, and judge: ONLY="booking" ENGINE=openai REPEAT=1
	$(BIN)/python -m eslbot eval scenarios $(if $(ONLY),--only "$(ONLY)") \
		--engine $(or $(ENGINE),embedded) --repeat $(or $(REPEAT),1)

fuzz: $(READY) ## Fuzz each parser, time-boxed: SECONDS=300
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),300)

loadtest: $(READY) ## Many calls at once, measured: CALLS=200 MINUTES=2 LISTENERS=1 WORKERS=1 SET="..."
	$(BIN)/python -m eslbot loadtest --calls $(or $(CALLS),200) --minutes $(or $(MINUTES),2) \
		--listeners $(or $(LISTENERS),1) --workers $(or $(WORKERS),1) $(addprefix --set ,$(SET))

bench: $(READY) ## What the parts cost beside floors: PARTS="vad"
	$(BIN)/python -m eslbot.bench.parts $(addprefix --only ,$(PARTS))

# Pipecat lives in an environment of its own: it brings 60 packages that nothing of ours needs.
PEER := var/peer-venv
PIPECAT := 1.14.0

$(PEER)/ready-$(PIPECAT):
	@mkdir -p $(@D)
	$(PYTHON) -m venv $(PEER)
	@$(PEER)/bin/python -m pip install --quiet --disable-pip-version-check \
		"pipecat-ai[silero]==$(PIPECAT)" "uvloop==0.23.0" \
		|| { echo "make: the package index can't be reached, or has no Pipecat $(PIPECAT)" >&2; exit 2; }
	@touch $@

bench-peer: $(READY) $(PEER)/ready-$(PIPECAT) ## Against Pipecat: CALLS=20 PEER_CALLS=5 SECONDS=30
	$(BIN)/python -m eslbot.bench.peer --calls $(or $(CALLS),20) \
		--peer-calls $(or $(PEER_CALLS),5) --seconds $(or $(SECONDS),30)

# What rq-dashboard needs beside what is here. It runs on our own pins of RQ, redis-py and Werkzeug.
RQ_DASHBOARD := var/rq-dashboard
RQ_DASHBOARD_PINS := rq-dashboard==0.9.0 Flask==3.1.3 arrow==1.4.0 blinker==1.9.0 \
	itsdangerous==2.2.0 Jinja2==3.1.6 Redis-Sentinel-Url==1.0.1

$(RQ_DASHBOARD)/ready-0.9.0: | $(READY)
	@mkdir -p $(@D)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
		--target $(RQ_DASHBOARD) $(RQ_DASHBOARD_PINS) \
		|| { echo "make: the package index can't be reached, or has no rq-dashboard 0.9.0" >&2; exit 2; }
	@touch $@

rq-dashboard: $(READY) $(RQ_DASHBOARD)/ready-0.9.0 ## RQ's queues and jobs in a browser: PORT=9181
	@$(BIN)/honcho run $(CURDIR)/$(BIN)/python -m eslbot.rq_dashboard \
		--packages $(RQ_DASHBOARD) --port $(or $(PORT),9181)

lint: $(READY) ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy eslbot workers

format: $(READY) ## Let ruff rewrite
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

clean: ## Remove what was made here
	rm -rf .venv var
