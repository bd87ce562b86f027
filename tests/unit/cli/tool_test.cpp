// SPDX-License-Identifier: MIT
#include "cli/tool.hpp"

#include <doctest/doctest.h>

#include <string>

#include <handoff/os/error.hpp>

#include "unit/cli/command_line.hpp"
#include "unit/support.hpp"

namespace handoff {
namespace {

using test::CommandLine;
using test::thrown_by;
using test::Words;

Words words_of(const Words& words) {
  CommandLine line(words);
  Tool tool("tool", line.argc(), line.argv());
  return tool.parse_words();
}

TEST_CASE("a tool's words are what is no option, with those behind --") {
  CHECK(words_of({}).empty());
  CHECK(words_of({"a", "-v", "[1,2]", "k=v"}) == Words{"a", "[1,2]", "k=v"});
  CHECK(words_of({"a", "--", "-x", "--"}) == Words{"a", "-x", "--"});
  CHECK(words_of({"a", "-", "-5"}) == Words{"a", "-", "-5"});
}

TEST_CASE("a word that looks like an option is refused") {
  for (const char* word : {"-x", "--nope", "--nope=1", "-.5"}) {
    CAPTURE(word);
    CHECK(thrown_by<InvalidArgument>([&] {
            words_of({"a", word});
          }).what() == "unknown option " + std::string(word) + " (see tool --help)");
  }
}

TEST_CASE("an option that resembles the one meant is named") {
  CHECK(thrown_by<InvalidArgument>([] { words_of({"--verbos"}); }).what() ==
        std::string("unknown option --verbos (did you mean --verbose?)"));
  CHECK(thrown_by<InvalidArgument>([] { words_of({"--hlep=1"}); }).what() ==
        std::string("unknown option --hlep=1 (did you mean --help?)"));
}

TEST_CASE("an option that takes no value is refused with one") {
  CHECK(thrown_by<InvalidArgument>([] { words_of({"--verbose=no"}); }).what() ==
        std::string("--verbose=no: --verbose takes no value"));
  CHECK(thrown_by<InvalidArgument>([] { words_of({"--help=1s"}); }).what() ==
        std::string("--help=1s: --help takes no value"));
}

TEST_CASE("what stands behind -- is kept for a command, or refused") {
  CommandLine line({"-v", "--", "cat", "-v"});
  Tool tool("tool", line.argc(), line.argv());
  tool.parse();
  CHECK(tool.has_dashes);
  CHECK(tool.after_dashes == Words{"cat", "-v"});
  CHECK(thrown_by<InvalidArgument>([&] { tool.refuse_command(); }).what() ==
        std::string("unexpected word cat after --: this tool runs no command"));
}

TEST_CASE("-v and -q set how much is said, and the more frequent one wins") {
  using Level = StderrLog::Level;
  const auto level = [](const Words& words) {
    CommandLine line(words);
    Tool tool("tool", line.argc(), line.argv());
    tool.parse();
    return tool.log.level();
  };
  CHECK(level({}) == Level::normal);
  CHECK(level({"-v"}) == Level::verbose);
  CHECK(level({"-q"}) == Level::quiet);
  CHECK(level({"-q", "-v"}) == Level::normal);
  CHECK(level({"-vqv"}) == Level::verbose);
  CHECK(level({"--quiet"}) == Level::quiet);
}

}  // namespace
}  // namespace handoff
