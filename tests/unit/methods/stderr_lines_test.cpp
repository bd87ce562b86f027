// SPDX-License-Identifier: MIT
#include "methods/stderr_lines.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace handoff {
namespace {

/// What is said of these pieces, each of which is one read.
std::vector<std::string> lines_of(const std::vector<std::string>& pieces) {
  std::vector<std::string> said;
  StderrLines lines([&said](std::string_view line) { said.emplace_back(line); });
  for (const std::string& piece : pieces) { lines.add(piece); }
  lines.finish();
  return said;
}

using Lines = std::vector<std::string>;

TEST_CASE("each line of a process's stderr is said, wherever the reads cut it") {
  CHECK(lines_of({"one\ntwo\n"}) == Lines{"one", "two"});
  CHECK(lines_of({"o", "ne\ntw", "o", "\n"}) == Lines{"one", "two"});
  CHECK(lines_of({"one\r\ntwo\r", "\n"}) == Lines{"one", "two"});
}

TEST_CASE("the last line of a process's stderr needs no line break, and empty lines are not said") {
  CHECK(lines_of({"\n\none\n\ntwo"}) == Lines{"one", "two"});
  CHECK(lines_of({""}).empty());
  CHECK(lines_of({"\n"}).empty());
}

TEST_CASE("a long line of stderr is cut, and its length is told") {
  const std::string longest(StderrLines::kLongest, 'x');
  CHECK(lines_of({longest + "\n"}) == Lines{longest});
  CHECK(lines_of({longest + "y\nnext\n"}) == Lines{longest + "... (1 bytes more)", "next"});
  CHECK(lines_of({longest, "1234", "5678\n"}) == Lines{longest + "... (8 bytes more)"});
  CHECK(lines_of({longest, std::string(1 << 20, 'z')}) ==
        Lines{longest + "... (1048576 bytes more)"});
}

TEST_CASE("a long line of stderr is not cut in the middle of a character") {
  const std::string start(StderrLines::kLongest - 2, 'x');
  CHECK(lines_of({start + "\xE2\x82\xAC\n"}) == Lines{start + "... (3 bytes more)"});
  CHECK(lines_of({start, "\xE2", "\x82\xAC", "12"}) == Lines{start + "... (5 bytes more)"});
}

TEST_CASE("without anything that says lines, what a process writes is dropped") {
  StderrLines lines({});
  lines.add("one\ntwo");
  lines.finish();
}

}  // namespace
}  // namespace handoff
