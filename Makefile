# The front door. `make` alone lists what can be made.

# An empty environment has none, and CMake does not find itself without.
PATH ?= /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

BUILD ?= build
PREFIX ?= /usr/local
JOBS ?= $(shell PATH="$(PATH)" nproc)
FUZZ_SECONDS ?= 60
# A regular expression; only the tests whose names match it are run.
TESTS ?= .
# In CI a warning is an error.
WERROR ?= $(if $(CI),ON,OFF)

BUILD_PACKAGES = g++ cmake ninja-build libfmt-dev libcli11-dev doctest-dev libsimdjson-dev \
                 nlohmann-json3-dev
DEMO_PACKAGES = python3
TEST_PACKAGES = bats pkgconf python3 jq mandoc strace procps util-linux netcat-openbsd socat curl \
                openssl gunicorn openssh-client openssh-server ruby perl libio-fdpass-perl spin \
                zsh fish dpkg-dev iproute2 tmux libuv1-dev python3-yaml
BENCH_PACKAGES = python3 python3-matplotlib jq netcat-openbsd strace
PEER_PACKAGES = nginx-light nodejs haproxy nftables gunicorn golang-go chromium systemd lintian \
                prometheus
LINT_PACKAGES = clang-format-16 clang-tidy-16 shellcheck mandoc python3
CLANG_PACKAGES = clang libclang-rt-14-dev
DEB_PACKAGES = dpkg-dev
ARM64_PACKAGES = cmake ninja-build g++-aarch64-linux-gnu qemu-user

CXX_FILES = $$(git ls-files 'lib/*.[ch]pp' 'tools/*.cpp' 'tests/*.[ch]pp')

# A target installs what it needs before anything looks for it.
INSTALL = @tests/support/install-packages

define configure
@cmake -S . -B $(1) -G Ninja -DHANDOFF_WERROR=$(WERROR) $(2) >/dev/null
endef

# Runs the tests of the build $(1), and lists what was skipped.
define run_tests
@ctest --test-dir $(1) --output-on-failure --parallel $(JOBS) --no-tests=error -R '$(TESTS)'
@tests/support/list-skipped $(1)
endef

.PHONY: help deps peers build demo recording test stress lint format model asan tsan arm64 fuzz \
        bench deb install uninstall clean

help: ## list what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

deps: ## install what all of this needs (Debian packages)
	$(INSTALL) $(BUILD_PACKAGES) $(TEST_PACKAGES) $(BENCH_PACKAGES) $(LINT_PACKAGES) $(CLANG_PACKAGES)

peers: ## install the large programs that we are tested with and measured beside
	$(INSTALL) $(PEER_PACKAGES)

build: ## build the tools, to build/bin/
	$(INSTALL) $(BUILD_PACKAGES)
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS) --target tools

demo: ## see it work: every process of a server is replaced under its clients
	$(INSTALL) $(BUILD_PACKAGES) $(DEMO_PACKAGES)
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS) --target tools
	@tests/demo/demo $(BUILD)/bin

recording: ## record the demo anew: the moving picture of README.md
	$(INSTALL) $(BUILD_PACKAGES) $(DEMO_PACKAGES)
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS) --target tools
	@tests/demo/record --title "make demo: 64 clients stay connected while every process of their \
	server is replaced" tests/demo/demo.svg tests/demo/demo $(BUILD)/bin
	@tests/demo/record --title "rpc-call ctl status --watch 500ms: the live view of a server" \
	  tests/demo/live.svg tests/demo/live $(BUILD)/bin
	@du -h --apparent-size tests/demo/*.svg

test: ## build, and run the tests; TESTS=system/: only those
	$(INSTALL) $(BUILD_PACKAGES) $(TEST_PACKAGES)
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS)
	$(call run_tests,$(BUILD))

stress: ## the tests with their full counts
	$(INSTALL) $(BUILD_PACKAGES) $(TEST_PACKAGES)
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS)
	@HANDOFF_STRESS=1 ctest --test-dir $(BUILD) --output-on-failure --no-tests=error -R '$(TESTS)'
	@tests/support/list-skipped $(BUILD)

lint: ## formatting, includes, clang-tidy, shellcheck, man pages
	$(INSTALL) $(BUILD_PACKAGES) $(LINT_PACKAGES)
	$(call configure,$(BUILD))
	@clang-format-16 --dry-run -Werror $(CXX_FILES)
	@tests/support/check-floors lib
	@shellcheck $$(git grep -lE '^#!.*(bash|bats)' -- tests .ci)
	@mandoc -Tlint -W warning man/*
	@tests/support/tidy $(BUILD) $(JOBS)

format: ## reformat the sources
	@clang-format-16 -i $(CXX_FILES)

model: ## verify the protocols with spin
	$(INSTALL) g++ spin
	@tests/model/check

asan: ## the tests with the address and undefined-behaviour sanitizers
	$(INSTALL) $(BUILD_PACKAGES) $(TEST_PACKAGES) $(CLANG_PACKAGES)
	$(call configure,build-asan,-DCMAKE_CXX_COMPILER=clang++ -DHANDOFF_SANITIZE=address$(comma)undefined)
	@cmake --build build-asan --parallel $(JOBS)
	$(call run_tests,build-asan)

tsan: ## the tests with the thread sanitizer
	$(INSTALL) $(BUILD_PACKAGES) $(TEST_PACKAGES) $(CLANG_PACKAGES)
	$(call configure,build-tsan,-DCMAKE_CXX_COMPILER=clang++ -DHANDOFF_SANITIZE=thread)
	@cmake --build build-tsan --parallel $(JOBS)
	$(call run_tests,build-tsan)

arm64: ## build for arm64 with a cross compiler, and run the unit tests in qemu-user
	$(INSTALL) $(ARM64_PACKAGES)
	@tests/arm64/libraries build-arm64/root
	$(call configure,build-arm64,--toolchain $(CURDIR)/tests/arm64/toolchain.cmake)
	@cmake --build build-arm64 --parallel $(JOBS) --target tools unit_tests
	@failed=0; \
	ctest --test-dir build-arm64 --output-on-failure --parallel $(JOBS) --no-tests=error -R '^unit/' \
	  || failed=1; \
	tests/arm64/summary build-arm64 || failed=1; \
	exit $$failed
	@tests/support/list-skipped build-arm64

fuzz: ## fuzz each decoder for FUZZ_SECONDS (60); 0: only its corpus
	$(INSTALL) $(BUILD_PACKAGES) $(CLANG_PACKAGES)
	$(call configure,build-fuzz,-DCMAKE_CXX_COMPILER=clang++ -DHANDOFF_FUZZ=ON)
	@cmake --build build-fuzz --parallel $(JOBS) --target fuzzers
	@tests/fuzz/run build-fuzz $(FUZZ_SECONDS)

bench: ## measure, side by side with others; SUBJECTS="cold_call passing": only these
	$(INSTALL) $(BUILD_PACKAGES) $(BENCH_PACKAGES)
	$(call configure,$(BUILD))
	@cmake --build $(BUILD) --parallel $(JOBS)
	@python3 tests/bench/bench.py $(BUILD) $(SUBJECTS)

deb: ## make Debian packages of the tools, the library and its headers, in build/packages/
	$(INSTALL) $(BUILD_PACKAGES) $(DEB_PACKAGES)
	$(call configure,$(BUILD),-DCMAKE_INSTALL_PREFIX=/usr)
	@cmake --build $(BUILD) --parallel $(JOBS) --target tools
	@rm -rf $(BUILD)/packages
	@cpack --config $(BUILD)/CPackConfig.cmake >$(BUILD)/cpack.log || { cat $(BUILD)/cpack.log; exit 1; }
	@rm -rf $(BUILD)/packages/_CPack_Packages
	@du -h --apparent-size $(BUILD)/packages/*.deb

# After `sudo make install` the build folder is still its owner's, who can go on building.
install: build ## install to PREFIX (default /usr/local); DESTDIR is honoured
	@cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX="$(PREFIX)" >/dev/null
	@cmake --build $(BUILD) --parallel $(JOBS) --target tools
	@cmake --install $(BUILD) --strip
	@test "$$(id -u)" != 0 || chown -hR --reference=$(BUILD) $(BUILD)

uninstall: ## remove what make install with the same PREFIX and DESTDIR has installed
	@cmake -D BUILD=$(BUILD) -D PREFIX="$(PREFIX)" -P tools/install/uninstall.cmake

clean: ## remove everything that was built
	@rm -rf build build-asan build-tsan build-fuzz build-arm64

comma := ,
