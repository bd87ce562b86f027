// SPDX-License-Identifier: MIT
#include "master/start_failures.hpp"

#include <doctest/doctest.h>

#include <csignal>

namespace handoff {
namespace {

constexpr ExitStatus kFailed{1, 0};
constexpr ExitStatus kCommandLine{2, 0};
constexpr ExitStatus kNotRunnable{126, 0};
constexpr ExitStatus kNotFound{127, 0};
constexpr ExitStatus kCrashed{0, SIGSEGV};

void end(StartFailures& failures, int slot, const ExitStatus& status, int times) {
  for (int i = 0; i < times; ++i) { failures.ended(slot, status); }
}

TEST_CASE("a worker that ends three times in the same way can't start") {
  for (const ExitStatus& status : {kFailed, kCrashed, ExitStatus{0, 0}}) {
    StartFailures failures;
    CHECK(!failures.hopeless(1));
    end(failures, 1, status, 2);
    CHECK(!failures.hopeless(1));
    end(failures, 1, status, 1);
    REQUIRE(failures.hopeless(1));
    CHECK(failures.hopeless(1)->code == status.code);
    CHECK(failures.hopeless(1)->signal == status.signal);
  }
}

TEST_CASE("once is enough for a command line that is wrong") {
  for (const ExitStatus& status : {kCommandLine, kNotRunnable, kNotFound}) {
    StartFailures failures;
    end(failures, 1, status, 1);
    REQUIRE(failures.hopeless(1));
    CHECK(failures.hopeless(1)->code == status.code);
  }
}

TEST_CASE("a signal of the same number is no exit status") {
  StartFailures failures;
  end(failures, 1, ExitStatus{0, 2}, 2);
  CHECK(!failures.hopeless(1));
}

TEST_CASE("one that ends in several ways may start some time") {
  StartFailures failures;
  end(failures, 1, kFailed, 2);
  end(failures, 1, kCrashed, 2);
  end(failures, 1, kFailed, 2);
  CHECK(!failures.hopeless(1));
  end(failures, 1, kFailed, 1);
  CHECK(failures.hopeless(1));
}

TEST_CASE("all slots have to fail, and in the same way") {
  StartFailures failures;
  end(failures, 1, kFailed, 9);
  CHECK(!failures.hopeless(2));
  end(failures, 2, kFailed, 2);
  CHECK(!failures.hopeless(2));
  end(failures, 2, kFailed, 1);
  CHECK(failures.hopeless(2));
  CHECK(!failures.hopeless(3));
  end(failures, 3, kNotFound, 1);
  CHECK(!failures.hopeless(3));
  failures.slot_removed(3);
  CHECK(failures.hopeless(2));
}

TEST_CASE("nothing is hopeless once a worker was ready, or before one has ended") {
  StartFailures failures;
  CHECK(!failures.hopeless(0));
  end(failures, 1, kNotFound, 1);
  failures.worker_ready();
  CHECK(!failures.hopeless(1));
  end(failures, 1, kNotFound, 9);
  CHECK(!failures.hopeless(1));
}

TEST_CASE("how all workers have ended is described") {
  CHECK(describe_hopeless(kCommandLine) ==
        "no worker can start: each has ended with exit status 2 before it was ready");
  CHECK(describe_hopeless(kCrashed) ==
        "no worker can start: each has ended 3 times with signal 11 (Segmentation fault) before it "
        "was ready");
}

}  // namespace
}  // namespace handoff
