// SPDX-License-Identifier: MIT
#include "cli/suggest.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace handoff {
namespace {

const std::vector<std::string> kNames = {"status", "workers", "stop", "reload", "scale"};

TEST_CASE("the word that fewest edits part from a misspelt one is suggested") {
  CHECK(suggest("statsu", kNames) == "status");   // two letters swapped
  CHECK(suggest("satus", kNames) == "status");    // one less
  CHECK(suggest("relload", kNames) == "reload");  // one more
  CHECK(suggest("stap", kNames) == "stop");       // another one
  CHECK(suggest("worker", kNames) == "workers");
}

TEST_CASE("nothing is suggested for a word that resembles none") {
  CHECK(!suggest("ping", kNames));
  CHECK(!suggest("", kNames));
  CHECK(!suggest("s", {}));
  CHECK(!suggest(std::string(1000, 's'), kNames));
  CHECK(!suggest("stop", {"stop"}));
}

TEST_CASE("a suggestion is a remark at the end of a message") {
  CHECK(did_you_mean("stpo", kNames) == " (did you mean stop?)");
  CHECK(did_you_mean("ping", kNames).empty());
}

}  // namespace
}  // namespace handoff
