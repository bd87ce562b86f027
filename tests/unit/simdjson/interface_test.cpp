// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <string>

#include "wire/json_reader.hpp"

namespace handoff {
namespace {

std::string padded(const std::string& text) {
  return text + std::string(64, ' ');
}

TEST_CASE("an escape is read through the interface of this version of simdjson") {
  const std::string bytes = padded(R"("a\nb")");
  JsonReader reader;
  REQUIRE(reader.open(std::string_view(bytes).substr(0, 6)) == JsonProblem::none);
  std::string_view json;
  REQUIRE(reader.read_value(0, json) == JsonProblem::none);
  std::string copy;
  CHECK(reader.unescape(json, copy) == "a\nb");
}

TEST_CASE("half a surrogate pair is an error, and is not replaced") {
  const std::string bytes = padded(R"("\ud800")");
  JsonReader reader;
  REQUIRE(reader.open(std::string_view(bytes).substr(0, 8)) == JsonProblem::none);
  std::string_view json;
  CHECK(reader.read_value(0, json) == JsonProblem::escape);
}

}  // namespace
}  // namespace handoff
