# make setup   .venv with everything
# make demo    scan the sample shards, and write the page of what was found
# make test    lint, types, tests
# make lint    lint and types alone
# make chaos   32 seeds of faults over real scans, each compared with an undisturbed one (an hour or more)
# make soak    an hour of scans in a loop: nothing may grow, nothing may stay behind
# make fuzz    damaged images, generated archives and fuzzers, for hours
# make bench   the measurements behind docs/performance.md
# make site    the documentation as a site in build/site, every link checked
# make audit   known vulnerabilities of the pinned packages, by PyPI's advisories (needs a network)
# make sbom    a bill of materials of what is installed, build/sbom.json (CycloneDX)
# make determinism   the same shards scanned in many ways, and what differs (ten minutes)
# make model   the detector in mole/embedded again, with its figures, from labelled images (hours; minutes on a GPU)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
EXTENSION := pipeline/images/cropped.c pipeline/images/resized.c pipeline/images/weights.c
DEMO_SOURCE := examples/shards/sample-{00000..00002}.tar
DEMO_OUTPUT := verdicts/

.PHONY: setup demo test lint style types suite chaos soak fuzz fuzz-images fuzz-archives fuzz-cropped bench site audit sbom determinism model clean

setup: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	  || { echo "setup: Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1); try: make setup PYTHON=python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@if command -v uv >/dev/null; then uv venv --quiet --python "$$(command -v $(PYTHON))" $(VENV); \
	elif $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(PYTHON) -m venv $(VENV); \
	elif $(PYTHON) -m virtualenv --version >/dev/null 2>&1; then $(PYTHON) -m virtualenv --quiet $(VENV); \
	elif $(PYTHON) -m pip --version >/dev/null 2>&1; then \
	  $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; \
	else echo "setup: this Python cannot make virtual environments; as root: apt-get install python3-venv" >&2; exit 1; fi

# The stamp makes a second setup cheap; a changed list of packages makes it run again. Bytecode is compiled here because
# each of Ray's processes imports torch anew: 5 s with it, 12 s without where PYTHONDONTWRITEBYTECODE is set.
$(STAMP): pyproject.toml constraints.txt $(EXTENSION) pipeline/images/weights.h | $(BIN)/python
	@if command -v uv >/dev/null; then uv=uv; \
	elif [ -x $(BIN)/uv ] || $(BIN)/python -m pip install --quiet --constraint constraints.txt uv; then uv=$(BIN)/uv; else uv=; fi; \
	if [ -n "$$uv" ] && $$uv pip install --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; then :; \
	else echo "setup: installing with pip" >&2; \
	  $(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'; fi
	@touch $@

demo: setup
	@$(BIN)/mole-scan scan '$(DEMO_SOURCE)' --output $(DEMO_OUTPUT)

lint: style types

style: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

# Bytecode is kept, whatever the environment says: the hundreds of processes that tests start would each compile the project.
suite: setup
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Types are checked beside the suite: with a cold cache they take a core half a minute.
test: style
	@$(MAKE) --no-print-directory -j 2 types suite

SEEDS := 0-31
chaos: setup
	@$(BIN)/python -m tests.chaos --seeds $(SEEDS)

MINUTES := 60
soak: setup
	@$(BIN)/python -m tests.chaos.soak --minutes $(MINUTES)

# What the suite does in a small form: tests/fuzzing. FUZZ_SECONDS is the time of each fuzzer; what it finds lies in build/fuzzing.
FUZZ_SECONDS ?= 3600
FUZZ_TARGETS := archive container header listings

fuzz: fuzz-images fuzz-archives $(FUZZ_TARGETS:%=fuzz-%) fuzz-cropped

fuzz-images: setup
	@$(BIN)/python -m tests.fuzzing damaged --count 100000

fuzz-archives: setup
	@$(BIN)/python -m tests.fuzzing archives --count 5000

.PHONY: $(FUZZ_TARGETS:%=fuzz-%)
$(FUZZ_TARGETS:%=fuzz-%): fuzz-%: $(VENV)/.fuzzing
	@$(BIN)/python -m tests.fuzzing guided $* --seconds $(FUZZ_SECONDS)

$(VENV)/.fuzzing: | $(STAMP)
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	if [ -x "$$uv" ]; then $$uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[fuzzing]'; \
	else $(BIN)/python -m pip install --constraint constraints.txt --editable '.[fuzzing]'; fi
	@touch $@

# The cropped decoder under AddressSanitizer and UBSan, by libFuzzer: apt-get install clang cmake. LIBJPEG is an unpacked
# source of libjpeg-turbo (apt-get source libjpeg-turbo), which is compiled with the sanitizers too: without that, the fuzzer sees little.
FUZZ := build/fuzzing
SANITIZE := -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined
LIBJPEG ?=

$(FUZZ)/libjpeg/libjpeg.a:
	@test -d '$(LIBJPEG)' || { echo "fuzz-cropped: name an unpacked source of libjpeg-turbo: make fuzz-cropped LIBJPEG=libjpeg-turbo-2.1.5" >&2; exit 2; }
	@CC=clang cmake -S '$(LIBJPEG)' -B $(@D) -DCMAKE_BUILD_TYPE=None -DWITH_SIMD=0 -DENABLE_SHARED=0 -DWITH_TURBOJPEG=0 \
	  -DCMAKE_C_FLAGS='-g -O1 -fsanitize=address,fuzzer-no-link'
	@cmake --build $(@D) --target jpeg-static
	@ln -sfn '$(abspath $(LIBJPEG))' $(@D)/source

$(FUZZ)/cropped-fuzzer: tests/fuzzing/cropped_harness.c $(EXTENSION) $(FUZZ)/libjpeg/libjpeg.a
	@clang $(SANITIZE) -fsanitize=fuzzer -I$(FUZZ)/libjpeg -I$(FUZZ)/libjpeg/source $^ -lm -o $@

fuzz-cropped: setup $(FUZZ)/cropped-fuzzer
	@$(BIN)/python -m tests.fuzzing guided cropped --seconds $(FUZZ_SECONDS)

bench: setup
	@for name in decode scan memory training; do echo "== $$name"; $(BIN)/python -m benchmarks.$$name; done

# The pages lie in one tree as in the repository, so that their relative links are the site's links too.
PAGES := README.md MODEL_CARD.md CONTRIBUTING.md CHANGELOG.md LICENSE cluster.yaml docs deploy examples/README.md \
  benchmarks/results pipeline/scan/table/views.sql

$(BIN)/zensical: | $(STAMP)
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	if [ -x "$$uv" ]; then $$uv pip install --python $(BIN)/python --constraint constraints.txt --editable '.[docs]'; \
	else $(BIN)/python -m pip install --constraint constraints.txt --editable '.[docs]'; fi

site: setup $(BIN)/zensical
	@rm -rf build/pages build/site && mkdir -p build/pages && cp --parents -r $(PAGES) build/pages && rm -f build/pages/docs/*.py
	@$(BIN)/zensical build --clean --strict

# The tools have an environment of their own, so that what they look at is the project's alone. A package that cannot be
# looked up fails the audit, as a vulnerable one does.
TOOLS := build/audit

$(TOOLS)/.installed: constraints.txt | $(STAMP)
	@rm -rf $(TOOLS); uv=$$(command -v uv || echo $(BIN)/uv); \
	if [ -x "$$uv" ]; then $$uv venv --quiet --python $(BIN)/python $(TOOLS) \
	  && $$uv pip install --quiet --python $(TOOLS)/bin/python --constraint constraints.txt pip-audit cyclonedx-bom; \
	else $(PYTHON) -m venv $(TOOLS) \
	  && $(TOOLS)/bin/python -m pip install --quiet --constraint constraints.txt pip-audit cyclonedx-bom; fi
	@touch $@

audit: $(TOOLS)/.installed
	@$(TOOLS)/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip --progress-spinner off

sbom: $(TOOLS)/.installed
	@$(TOOLS)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-format JSON \
	  --output-file build/sbom.json $(BIN)/python
	@echo build/sbom.json

determinism: setup
	@$(BIN)/python -m benchmarks.determinism

# Each step continues where it was killed. METHOD is the variation of the recipe that is shipped. AUTOENCODER is a folder with
# taef2_encoder.pth and taef2_decoder.pth; PAIRS are the four ways in which photographs are passed through it or an upsampler.
MODEL := model
RECIPE := mole/embedded/recipe.toml
METHOD ?= MoLE, blocks 5 to 9, no pairs
SAMPLES = $(DATA:%=--samples %)
PAIRS := 1 2 3 4
PAIRS_1 = --max-per-source 12 --seed 1 --upsampler realesrgan-video
PAIRS_2 = --max-per-source 12 --autoencoder $(AUTOENCODER)
PAIRS_3 = --max-per-source 6 --seed 2 --upsampler resample
PAIRS_4 = --max-per-source 6 --seed 3 --autoencoder $(AUTOENCODER) --noise 0.2
TRAINING = --config $(RECIPE) $(SAMPLES) $(PAIRS:%=--samples $(MODEL)/pairs-%/samples.csv) --token-cache $(MODEL)/tokens \
  --base-tower ViT-B-16-quickgelu --pretrained $(MODEL)/tower.safetensors

$(PAIRS:%=$(MODEL)/pairs-%/samples.csv): $(MODEL)/pairs-%/samples.csv:
	@$(BIN)/mole-scan train reconstruct $(SAMPLES) --max-side 400 --output $(MODEL)/pairs-$* $(PAIRS_$*)

model: setup
	@test -n '$(DATA)' -a -n '$(TOWER)' -a -n '$(AUTOENCODER)' || { echo "model: name the labelled images, the unpacked tower" \
	  "and taef2's folder: make model DATA='A/manifest.csv B/manifest.csv' TOWER=clip-vit-b16-openai-int8.safetensors" \
	  "AUTOENCODER=weights" >&2; exit 2; }
	@mkdir -p $(MODEL)
	@test -f $(MODEL)/tower.safetensors || $(BIN)/mole-scan train pack --source $(TOWER) --manifest $(firstword $(DATA)) \
	  --reads 5,6,7,8,9 --max-bytes 49000000 --output $(MODEL)/tower.safetensors
	@$(MAKE) --no-print-directory $(PAIRS:%=$(MODEL)/pairs-%/samples.csv)
	@$(BIN)/mole-scan train crossvalidate $(TRAINING) --output $(MODEL)/folds
	@$(BIN)/mole-scan train finetune $(TRAINING) --registry $(MODEL)/models --method '$(METHOD)' \
	  --calibrate-from $(MODEL)/folds/ladder.json --json > $(MODEL)/version.json
	@version=$$($(BIN)/python -c 'import json; print(json.load(open("$(MODEL)/version.json"))["digest"])'); \
	  $(BIN)/mole-scan train promote --registry $(MODEL)/models --candidate $$version --base embedded \
	  --max-auroc-drop 0.17 --max-false-positive-rate 0.035 --max-detection-drop 1 && \
	  cd $(MODEL)/models/versions/$$version && cp config.json adapters.safetensors tower.safetensors rates.json $(CURDIR)/mole/embedded/ && \
	  $(CURDIR)/$(BIN)/python -c 'import sys; from pipeline.tune.data.manifest import portable; sys.stdout.buffer.write(portable(open("manifest.parquet", "rb").read()))' \
	    > $(CURDIR)/mole/embedded/manifest.parquet

clean:
	rm -rf $(VENV) $(DEMO_OUTPUT) build dist .cache ./*.egg-info ./*.so
