# The front door. `make` alone lists what can be made.

BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
# In CI a warning is an error.
WERROR ?= $(if $(CI),ON,OFF)

BUILD_PACKAGES = g++ cmake ninja-build libfmt-dev libcli11-dev doctest-dev libsimdjson-dev \
                 nlohmann-json3-dev
TEST_PACKAGES = bats pkgconf python3 jq mandoc strace procps util-linux netcat-openbsd gunicorn openssh-client \
                openssh-server ruby perl libio-fdpass-perl spin
BENCH_PACKAGES = python3 python3-matplotlib jq netcat-openbsd strace
PEER_PACKAGES = nginx-light nodejs
LINT_PACKAGES = clang-format clang-tidy shellcheck mandoc python3
CLANG_PACKAGES = clang libclang-rt-14-dev

CXX_FILES = $$(git ls-files 'lib/*.[ch]pp' 'tools/*.cpp' 'tests/*.[ch]pp')

# Installs those of the packages $(1) that are missing.
define install
@missing=$$(for package in $(1); do \
  dpkg-query -W -f '$${db:Status-Status}\n' $$package 2>/dev/null | grep -qx installed \
    || echo $$package; done); \
test -z "$$missing" && exit 0; \
if ! command -v apt-get >/dev/null; then \
  echo "make: this is no Debian; please install what these packages of it contain:" $$missing >&2; \
  exit 1; \
fi; \
sudo=; test "$$(id -u)" = 0 || sudo=sudo; \
$$sudo apt-get update -qq && \
$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing
endef

define configure
@cmake -S . -B $(1) -G Ninja -DHANDOFF_WERROR=$(WERROR) $(2) >/dev/null
endef

.PHONY: help deps build demo test stress lint format asan tsan fuzz bench-deps bench install uninstall clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

deps: ## install what all of this needs (Debian packages)
	$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES) $(BENCH_PACKAGES) $(LINT_PACKAGES) \
	               $(CLANG_PACKAGES))

build: ## build the tools, to build/bin/
	$(call install,$(BUILD_PACKAGES))
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS)

demo: build ## see it work: a server, calls, a killed worker
	$(call install,jq)
	@tests/examples/demo $(BUILD)/bin

test: build ## build, and run the tests
	$(call install,$(TEST_PACKAGES))
	@ctest --test-dir $(BUILD) --output-on-failure --parallel $(JOBS) --no-tests=error

stress: build ## the tests with their full counts
	$(call install,$(TEST_PACKAGES))
	@HANDOFF_STRESS=1 ctest --test-dir $(BUILD) --output-on-failure --no-tests=error

lint: ## formatting, includes, clang-tidy, shellcheck, man pages
	$(call install,$(BUILD_PACKAGES) $(LINT_PACKAGES))
	$(call configure,$(BUILD))
	@clang-format --dry-run -Werror $(CXX_FILES)
	@tests/support/check-floors lib
	@shellcheck $$(git grep -lE '^#!.*(bash|bats)' -- tests .ci)
	@mandoc -Tlint -W warning man/*
	@git ls-files 'lib/*.cpp' 'tools/*.cpp' | \
	  xargs -P $(JOBS) -n 4 clang-tidy -p $(BUILD) --quiet 2>/dev/null

format: ## reformat the sources
	@clang-format -i $(CXX_FILES)

asan: ## the tests with the address and undefined-behaviour sanitizers
	$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES) $(CLANG_PACKAGES))
	$(call configure,build-asan,-DCMAKE_CXX_COMPILER=clang++ -DHANDOFF_SANITIZE=address$(comma)undefined)
	@cmake --build build-asan --parallel $(JOBS)
	@ctest --test-dir build-asan --output-on-failure --parallel $(JOBS) --no-tests=error

tsan: ## the tests with the thread sanitizer
	$(call install,$(BUILD_PACKAGES) $(TEST_PACKAGES) $(CLANG_PACKAGES))
	$(call configure,build-tsan,-DCMAKE_CXX_COMPILER=clang++ -DHANDOFF_SANITIZE=thread)
	@cmake --build build-tsan --parallel $(JOBS)
	@ctest --test-dir build-tsan --output-on-failure --parallel $(JOBS) --no-tests=error

fuzz: ## fuzz each decoder for FUZZ_SECONDS (60)
	$(call install,$(BUILD_PACKAGES) $(CLANG_PACKAGES))
	$(call configure,build-fuzz,-DCMAKE_CXX_COMPILER=clang++ -DHANDOFF_FUZZ=ON)
	@cmake --build build-fuzz --parallel $(JOBS) --target fuzzers
	@tests/fuzz/run build-fuzz $(FUZZ_SECONDS)

bench-deps: ## install the servers that we are measured beside
	$(call install,$(PEER_PACKAGES))

bench: build ## measure, side by side with others; SUBJECTS="cold_call passing": only these
	$(call install,$(BENCH_PACKAGES))
	@python3 tests/bench/bench.py $(BUILD) $(SUBJECTS)

# After `sudo make install` the build folder is still its owner's, who can go on building.
install: build ## install to PREFIX (default /usr/local); DESTDIR is honoured
	@cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX="$(PREFIX)" >/dev/null
	@cmake --build $(BUILD) --parallel $(JOBS)
	@cmake --install $(BUILD) --strip
	@test "$$(id -u)" != 0 || chown -hR --reference=$(BUILD) $(BUILD)

uninstall: ## remove what make install with the same PREFIX and DESTDIR has installed
	@cmake -D BUILD=$(BUILD) -D PREFIX="$(PREFIX)" -P cmake/uninstall.cmake

clean: ## remove everything that was built
	@rm -rf build build-asan build-tsan build-fuzz

comma := ,
