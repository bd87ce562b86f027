// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cerrno>
#include <string>

#include <handoff/os/error.hpp>

namespace handoff {
namespace {

TEST_CASE("a system error says what was attempted, on what, and why") {
  const SystemError error(EACCES, "listen on", "127.0.0.1:80");
  CHECK(std::string(error.what()) == "cannot listen on 127.0.0.1:80: Permission denied");
  CHECK(error.error_number() == EACCES);
  CHECK(error.attempt() == "listen on");
  CHECK(error.object() == "127.0.0.1:80");
}

TEST_CASE("a system error without an object leaves it out") {
  const SystemError error(EMFILE, "create a pipe");
  CHECK(std::string(error.what()) == "cannot create a pipe: Too many open files");
  CHECK(error.object().empty());
}

TEST_CASE("an unknown errno value is told by its number") {
  CHECK(error_text(ENOENT) == "No such file or directory");
  CHECK(error_text(9999) == "error 9999");
}

TEST_CASE("an interrupted call is made again until it is not") {
  int calls = 0;
  const int result = retry([&] {
    if (++calls == 4) { return 7; }
    errno = EINTR;
    return -1;
  });
  CHECK(result == 7);
  CHECK(calls == 4);
}

TEST_CASE("a call that fails for another reason is not repeated") {
  int calls = 0;
  const long result = retry([&] {
    ++calls;
    errno = EBADF;
    return -1L;
  });
  CHECK(result == -1);
  CHECK(calls == 1);
  CHECK(errno == EBADF);
}

}  // namespace
}  // namespace handoff
