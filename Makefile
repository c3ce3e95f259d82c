# The commands of bitloop's users and developers; `make` lists them. CMakePresets.json has the builds behind them.
.DEFAULT_GOAL := help
.PHONY: help setup configure build build-tests demo test test-fast bench gpu-bundle asan tsan fuzz format manual walls reliability clean
MAKEFLAGS += --no-print-directory

# As many compilers as there are cores, but no more than memory allows: one that reads LibTorch's headers takes 2 GB.
JOBS ?= $(shell awk -v cores=$$(nproc) '/^MemAvailable/ {fit = int($$2 / 2e6)} END {print fit < 1 ? 1 : fit < cores ? fit : cores}' /proc/meminfo)
# Passed to the programs: DEMO_FLAGS=--allow-degraded, BENCH_FLAGS="--steps 200".
DEMO_FLAGS ?=
BENCH_FLAGS ?=
# Of each fuzz target; FUZZ_SEED=0 looks elsewhere each time.
FUZZ_SECONDS ?= 10
FUZZ_SEED ?= 1

# What is needed only for tests is installed for tests; the sanitizers' need no browser.
build-tests fuzz: SETUP_FLAGS = --tests

help:  ## list these commands
	@awk -F ':.*## ' '/^[a-z -]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup:  ## install the Debian packages, fetch and unpack LibTorch and the data
	@scripts/setup $(SETUP_FLAGS)

configure: setup
	@mkdir -p build
	@cmake --preset release >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

build: configure  ## set up, then build the programs into build/bin/
	@cmake --build --preset release --parallel $(JOBS) --target bitloop bitloop-trainer bitloop_assets

build-tests: configure
	@scripts/test-venv
	@cmake --build --preset release --parallel $(JOBS)

demo: build  ## set up, build and play one agent's session: edits, a check, two tests, a submission
	@build/bin/bitloop demo $(DEMO_FLAGS) || { status=$$?; \
	  [ $$status -ne 3 ] || echo "make demo: options go into DEMO_FLAGS: make demo DEMO_FLAGS=--allow-degraded" >&2; exit $$status; }

test: build-tests  ## set up, build and run all tests
	@ctest --preset release

test-fast: build-tests  ## only the tests that take seconds
	@ctest --preset fast

bench: build  ## measure bitloop beside PyTorch, print ratios (BENCH_FLAGS="--help" tells more)
	@bench/run.py $(BENCH_FLAGS)

gpu-bundle: configure  ## pack what bench/gpu.sh measures with on a GPU's machine: build/gpu-bundle.tar.gz
	@cmake --build --preset release --parallel $(JOBS) --target bitloop bitloop-trainer bitloop_assets bitloop_bench_gpu bitloop_bench_random_packed bitloop_cuda_tests bitloop_device_tests
	@scripts/gpu-bundle build/release build/gpu-bundle.tar.gz

asan tsan: setup  ## build and test with the address and undefined-behaviour sanitizers, or the thread sanitizer
	@cmake --preset $@
	@cmake --build --preset $@ --parallel $(JOBS)
	@ctest --preset $@

fuzz: setup  ## fuzz the parsers, the editor and the Lua guest with libFuzzer, FUZZ_SECONDS=10 each
	@cmake --preset fuzz -DBITLOOP_FUZZ_SECONDS=$(FUZZ_SECONDS) -DBITLOOP_FUZZ_SEED=$(FUZZ_SEED)
	@cmake --build --preset fuzz --parallel $(JOBS)
	@ctest --preset fuzz

format:  ## run clang-format over the C++ files
	@command -v clang-format >/dev/null || { echo "make format: install the Debian package clang-format" >&2; exit 1; }
	@git ls-files '*.cpp' '*.h' | xargs clang-format -i

manual: configure  ## write docs/lua.md's operations, lua/library/ and .luacheckrc from the tables of lua/
	@cmake --build --preset release --parallel $(JOBS) --target bitloop_lua_tests
	@BITLOOP_UPDATE_DOCS=1 build/release/tests/bitloop_lua_tests --gtest_brief=1 --gtest_filter='ManualTest.*'

walls: build-tests  ## measure which layer of the jail stops what, and write the table of docs/security.md
	@BITLOOP_WRITE_WALLS=1 build/release/tests/sandbox_test --gtest_brief=1 --gtest_filter='WallsTest.*'

reliability: build-tests  ## try load, kill -9, faults and a large journal for an hour, and write the figures of docs/reliability.md
	@BITLOOP_BIN=build/bin BITLOOP_BUILD=build/release tests/reliability/run.py --document docs/reliability.md

clean:  ## remove what was built (.deps/ and the cache of downloads stay)
	@rm -rf build
