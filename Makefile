# Everything that you or CI run. Each target installs what it needs: a virtual environment in .venv, the compiled core, the packages of its
# dependency group, and, as root on Debian, system packages.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips in one environment would get in each other's way.
.NOTPARALLEL:

PYTHON ?= python3
# Each Python has an environment and build folders of its own, so that one checkout can test several.
ifeq ($(PYTHON),python3)
VENV := .venv
BUILD := build
else
PYTHON_VERSION := $(shell "$(PYTHON)" -c 'import sys, sysconfig; print("%d.%d" % sys.version_info[:2] + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' 2>/dev/null)
VENV := .venv-$(PYTHON_VERSION)
BUILD := build/$(PYTHON_VERSION)
endif
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
DONE := $(VENV)/done
BENCH_SHARED := $(wildcard benchmarks/c/shared/*.[ch])
BENCH_PROGRAMS := $(patsubst benchmarks/c/%.c,build/bench/%,$(filter-out %/marks.c %/allocator.c %/mallocs.c,$(wildcard benchmarks/c/*.c)))
KERNELS := $(addprefix native/c/,mask.c utf8.c header.c)
SANITIZERS := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
NATIVE := $(shell find native -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h')

# How long libFuzzer runs on the decoders.
GUIDED_SECONDS ?= 60

# ThreadSanitizer needs a Python that was built with it: PYTHON=..., or else one that is built from these sources, 3.14 or later.
CPYTHON ?= build/cpython
ifeq ($(PYTHON),python3)
TSAN_PYTHON := build/tsan/python/bin/python3
endif

# The Autobahn suite, unless WSTEST names another copy of its program.
ifndef WSTEST
SUITE := build/autobahn/wstest
endif
export WSTEST ?= $(CURDIR)/build/autobahn/wstest

# Passed on to the program that a target runs: make test ARGS="tests/net -x", make demo ARGS="--seconds 10".
ARGS ?=

.PHONY: help build demo test lint bench soak instructions recording conformance wsproto sanitize valgrind docs wheel clean

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo '  PYTHON=python3.13 uses another interpreter, in .venv-3.13; most targets pass ARGS="..." on'

build: $(DONE)/core  ## make .venv and compile the core into it

demo: $(DONE)/core  ## run three services that stay connected through injected faults, 30 s
	@$(BIN)/python -m trunkline demo $(or $(ARGS),--seconds 30)

test: $(DONE)/core $(DONE)/test  ## run the tests, 20 min; ARGS="tests/net -x" picks some
	@scripts/system $(BIN)/python browser terminal proxies
	@$(BIN)/python -m pytest $(ARGS)

.PHONY: asyncio
asyncio: $(DONE)/core $(DONE)/test  ## run the tests of the network on the event loops' transports, in place of streams, 8 min
	@TRUNKLINE_TRANSPORT=asyncio $(BIN)/python -m pytest --ignore=tests/net/test_streams.py $(or $(ARGS),tests/net tests/hostile tests/promises tests/interop)

# The test packages bring the types of rich, prometheus-client and others.
lint: $(DONE)/core $(DONE)/lint $(DONE)/test  ## check style, formatting, types, stubs and news fragments
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/lint

bench: $(DONE)/core $(DONE)/bench $(BENCH_PROGRAMS)  ## measure trunkline beside other libraries and write docs/benchmarks.md
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(DONE)/core $(DONE)/bench  ## check that memory and descriptors stay flat under load, 8 min
	@for loop in asyncio uvloop; do $(BIN)/python -m benchmarks.soak --loop $$loop $(ARGS); done

.PHONY: microbench
microbench: $(DONE)/core $(DONE)/bench  ## time this core beside that of BASE (HEAD); fail if a benchmark is 10 % slower
	@$(BIN)/python -m benchmarks.micro $(if $(BASE),--base "$(BASE)") $(ARGS)

instructions: $(DONE)/core build/bench/marks.so build/bench/allocator.so  ## count instructions for each message; fail if they grew by 3 %, or did since BASE
	@$(BIN)/python -m benchmarks.instructions $(if $(BASE),--base "$(BASE)") $(ARGS)

recording: $(DONE)/core build/bench/mallocs.so  ## check that recording a metric takes under 50 ns and allocates nothing
	@$(BIN)/python -m benchmarks.recording $(ARGS)

conformance: $(DONE)/core $(DONE)/test $(SUITE)  ## run the Autobahn suite in both roles, 10 min
	@$(BIN)/python scripts/conformance $(ARGS)

wsproto: $(DONE)/core $(DONE)/test  ## run wsproto's own tests against trunkline.protocol
	@$(BIN)/python scripts/wsproto-tests $(ARGS)

.PHONY: fuzz
fuzz: $(DONE)/core $(DONE)/test build/fuzz/kernels $(BUILD)/fuzz/decoder  ## feed random frames to the decoders and to wsproto; ARGS="--inputs 1000000 --seed 2"
	@mkdir -p build/fuzz/corpus build/fuzz/reached
	@build/fuzz/kernels -max_total_time=20 -max_len=700 -verbosity=0 -print_final_stats=1 -artifact_prefix=build/fuzz/ build/fuzz/corpus
	@rm -rf build/fuzz/seeds
	@PYTHONPATH=tests $(BIN)/python -m fuzz.guided build/fuzz/seeds
	@PYTHONPATH=tests $(BUILD)/fuzz/decoder -max_total_time=$(GUIDED_SECONDS) -max_len=500 -dict=tests/fuzz/native/frames.dict -verbosity=0 \
		-detect_leaks=0 -print_funcs=0 -print_final_stats=1 -artifact_prefix=build/fuzz/ build/fuzz/reached build/fuzz/seeds
	@PYTHONPATH=tests $(BIN)/python -m fuzz $(ARGS)

.PHONY: fuzz-heads
fuzz-heads: $(DONE)/core $(DONE)/test  ## feed random heads of HTTP to llhttp and to h11; ARGS="--inputs 10000 --seed 2"
	@PYTHONPATH=tests $(BIN)/python -m fuzz.heads $(ARGS)

.PHONY: replay
replay: $(DONE)/core $(DONE)/test $(BUILD)/fuzz/decoder  ## feed the decoders what fuzzing has found so far, with sanitizers
	@rm -rf build/fuzz/seeds
	@PYTHONPATH=tests $(BIN)/python -m fuzz.guided build/fuzz/seeds
	@PYTHONPATH=tests $(BUILD)/fuzz/decoder -runs=0 -max_len=500 -verbosity=0 -detect_leaks=0 -print_funcs=0 -print_final_stats=1 -artifact_prefix=build/fuzz/ build/fuzz/seeds

sanitize: $(BUILD)/sanitize/done $(DONE)/test $(if $(ARGS),,$(SUITE))  ## run tests and Autobahn 1 to 10 with ASan and UBSan in the core; ARGS="..." goes to pytest instead
	@VENV=$(VENV) CORE=$(BUILD)/sanitize scripts/sanitize $(if $(ARGS),python -m pytest -p no:cacheprovider $(ARGS),scripts/sanitized-tests)

valgrind: $(DONE)/core $(DONE)/test  ## run tests of the core under valgrind's memcheck, 8 min
	@scripts/system $(BIN)/python counts
	@VENV=$(VENV) scripts/memcheck $(ARGS)

.PHONY: tsan
tsan: $(TSAN_PYTHON)  ## run event loops in threads under ThreadSanitizer, 10 min; needs PYTHON=... or CPython's sources in CPYTHON=...
	@scripts/tsan $(or $(TSAN_PYTHON),"$(PYTHON)") $(ARGS)

docs: $(DONE)/core $(DONE)/test  ## make the generated diagrams and tables in docs/
	@$(BIN)/python scripts/diagrams $(ARGS)

wheel: $(DONE)/wheel  ## build and check the sdist and this machine's wheel, in dist/
	@$(BIN)/python scripts/wheel

.PHONY: wheel-test
wheel-test: $(DONE)/venv  ## install what is in dist/ and run the tests against it; ARGS="..." goes to pytest
	@scripts/system "$(PYTHON)" browser terminal proxies
	@$(BIN)/python scripts/wheel-test $(ARGS)

.PHONY: cross
cross: $(DONE)/core $(DONE)/cross  ## compile the core for macOS, Windows, musl and s390x, and test the kernels under qemu
	@scripts/system $(BIN)/python cross
	@scripts/windows-headers
	@$(BIN)/python scripts/cross

.PHONY: wheels
wheels:  ## build and test wheels for every Python in wheelhouse/ (cibuildwheel; on Linux it needs Docker)
	@"$(PYTHON)" scripts/wheels $(ARGS)

.PHONY: portable
portable: $(DONE)/core $(DONE)/portable  ## run the tests that must pass on every platform; needs only Python
	@$(BIN)/python -m pytest -m portable $(ARGS)

.PHONY: lacking
lacking: $(DONE)/core $(DONE)/portable $(DONE)/test  ## run them without what Windows lacks; LOOP=proactor or selector
	@PYTHONPATH=tests LOOP="$${LOOP:-proactor}" $(BIN)/python -m pytest --capture=sys -p lacking -m portable $(ARGS)

.PHONY: workflows
workflows: $(DONE)/workflows  ## check the workflows for GitHub (actionlint, zizmor)
	@PATH="$(CURDIR)/$(BIN):$$PATH" actionlint
	@$(BIN)/zizmor --offline --quiet --strict-collection --min-severity medium .github

.PHONY: sbom
sbom: $(DONE)/core $(DONE)/sbom  ## write a CycloneDX bill of materials into dist/
	@$(BIN)/python scripts/sbom

.PHONY: changelog
changelog:  ## move the news fragments into CHANGELOG.md as VERSION, released on DAY (today)
	@"$(PYTHON)" scripts/news.py collect "$(VERSION)" $(DAY)

.PHONY: release-check release-files release-notes
release-check:  ## fail unless TAG, the version and the changelog agree
	@"$(PYTHON)" scripts/release check "$(TAG)"

release-files: $(DONE)/wheel  ## fail unless dist/ holds the files of the release TAG, and all are sound
	@$(BIN)/python scripts/release files "$(TAG)"
	@$(BIN)/python -m twine check --strict dist/*
	@$(BIN)/python -m check_wheel_contents dist/*.whl

release-notes:  ## create the release TAG on GitHub (needs gh and its token)
	@"$(PYTHON)" scripts/release notes "$(TAG)"

clean:  ## remove everything that the targets made
	rm -rf .venv .venv-* build dist wheelhouse reports .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -rf src/*.egg-info src/trunkline/*.so
	find . -name __pycache__ -prune -exec rm -rf {} +

$(DONE)/venv:
	@scripts/system "$(PYTHON)" build
	@echo '==> making $(VENV)'
	@"$(PYTHON)" -m venv $(VENV)
	@$(PIP) install --upgrade 'pip>=25.1'
	@mkdir -p $(DONE) && touch $@

# The install is editable, so only compiled sources need a new build.
$(DONE)/core: $(DONE)/venv setup.py pyproject.toml $(NATIVE)
	@echo '==> compiling the core (under a minute)'
	@TRUNKLINE_CFLAGS=-g $(PIP) install -e .
	@touch $@

$(DONE)/test $(DONE)/portable $(DONE)/lint $(DONE)/bench $(DONE)/wheel $(DONE)/workflows $(DONE)/sbom $(DONE)/cross: $(DONE)/%: $(DONE)/venv pyproject.toml
	@echo '==> installing the packages of the group $*'
	@$(PIP) install --group $*
	@touch $@

# $(call compiled,NAME,FLAGS): compile the core again with other flags, in a folder of its own. Cython's output is shared.
define compiled
	@rm -rf $(BUILD)/$1/made $(BUILD)/$1/work $(BUILD)/$1/trunkline && mkdir -p $(BUILD)/$1/trunkline
	@printf '[build]\nbuild_base = $(BUILD)/$1/work\n[build_ext]\nparallel = 2\n' >$(BUILD)/$1/build.cfg
	@DIST_EXTRA_CONFIG=$(BUILD)/$1/build.cfg TRUNKLINE_CFLAGS="$2" \
		$(PIP) install --no-deps --no-compile --target $(BUILD)/$1/made .
	@mv $(BUILD)/$1/made/trunkline/*.so $(BUILD)/$1/trunkline/
	@touch $@
endef

build/tsan/python/bin/python3:
	@[ -x "$(CPYTHON)/configure" ] || { echo "$(CPYTHON) has no CPython sources; set CPYTHON=..., or PYTHON=... to a Python with ThreadSanitizer" >&2; exit 1; }
	@scripts/system "$(PYTHON)" tsan
	@echo '==> building a free-threaded Python with the thread sanitizer (10 minutes)'
	@scripts/tsan-python "$(CPYTHON)" "$(CURDIR)/build/tsan/python"

$(BUILD)/sanitize/done: $(DONE)/core
	@echo '==> compiling the core with sanitizers (a minute)'
	$(call compiled,sanitize,$(SANITIZERS))

# counted.txt says where libFuzzer counts coverage; sanitizers are everywhere.
$(BUILD)/fuzz/done: export CC := clang
$(BUILD)/fuzz/done: $(DONE)/core tests/fuzz/native/counted.txt
	@scripts/system "$(PYTHON)" fuzz
	@echo '==> compiling the core with counters and sanitizers (a minute)'
	$(call compiled,fuzz,$(SANITIZERS) -fsanitize=fuzzer-no-link -fsanitize-coverage-allowlist=$(CURDIR)/tests/fuzz/native/counted.txt)

build/autobahn/wstest: $(DONE)/venv $(wildcard scripts/autobahn/*)
	@scripts/autobahn/install $(BIN)/python $(@D)

build/native/guards: tests/native/guards.c $(KERNELS) $(wildcard native/c/*.h)
	@mkdir -p build/native
	@$(CC) -O2 -g -Wall -Wextra -Inative/c -o $@ $(filter %.c,$^)

# The tests make these, and pass the interpreter that runs them in PYTHON.
$(BUILD)/native/%.so: tests/native/%.c
	@mkdir -p $(@D)
	@$(CC) -O2 -g -Wall -Wextra -Wno-missing-field-initializers -shared -fPIC \
		-I"$$("$(PYTHON)" -c 'import sysconfig; print(sysconfig.get_path("include"))')" -o $@ $<

build/bench/%.so: benchmarks/c/%.c
	@scripts/system "$(PYTHON)" counts
	@mkdir -p build/bench
	@$(CC) -O2 -Wall -Wextra -shared -fPIC -fno-builtin-malloc -o $@ $<

build/bench/%: benchmarks/c/%.c $(BENCH_SHARED)
	@scripts/system "$(PYTHON)" bench
	@mkdir -p build/bench
	@$(CC) -O2 -Wall -Wextra -o $@ $< $(filter %.c,$(BENCH_SHARED)) -lssl -lcrypto -lz

build/fuzz/kernels: tests/fuzz/native/kernels.c $(wildcard native/c/*.[ch])
	@scripts/system "$(PYTHON)" fuzz
	@mkdir -p build/fuzz
	@clang -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Wall -Wextra -Inative/c -o $@ $< $(wildcard native/c/*.c)

# libFuzzer brings main(), so Python is linked as a library.
$(BUILD)/fuzz/decoder: tests/fuzz/native/decoder.c $(BUILD)/fuzz/done
	@clang $(SANITIZERS) -fsanitize=fuzzer -Wall -Wextra -rdynamic -DPYTHON='"$(CURDIR)/$(BIN)/python"' -o $@ $< $$($(BIN)/python scripts/embed)
