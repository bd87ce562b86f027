// SPDX-License-Identifier: MIT
#include "os/status.hpp"

#include <doctest/doctest.h>

#include <string>
#include <type_traits>

namespace handoff {
namespace {

TEST_CASE("a status is ok, or a failure with its reason") {
  CHECK(Status::ok().is_ok());
  const Status status = Status::failure("no worker is free");
  CHECK(!status.is_ok());
  CHECK(status.why() == "no worker is free");
}

TEST_CASE("the reason of a failure is one line, whatever it was made of") {
  CHECK(Status::failure("a\nb\x1b[1m").why() == R"(a\nb\x1b[1m)");
}

TEST_CASE("a status keeps its outcome when it is copied, assigned and compared") {
  Status status = Status::failure("first");
  const Status copy = status;
  CHECK(copy == status);
  status = Status::ok();
  CHECK(status.is_ok());
  CHECK(!(copy == status));
  CHECK(!(copy == Status::failure("second")));
}

TEST_CASE("neither a text nor a truth value is a status, and a status is neither") {
  CHECK(!std::is_convertible_v<std::string, Status>);
  CHECK(!std::is_convertible_v<const char*, Status>);
  CHECK(!std::is_constructible_v<Status, std::string>);
  CHECK(!std::is_constructible_v<Status, bool>);
  CHECK(!std::is_constructible_v<bool, Status>);
  CHECK(!std::is_convertible_v<Status, std::string>);
}

}  // namespace
}  // namespace handoff
