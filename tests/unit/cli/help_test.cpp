// SPDX-License-Identifier: MIT
#include "cli/help.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "unit/cli/command_line.hpp"

namespace handoff {
namespace {

using test::CommandLine;
using Lines = std::vector<std::string>;

TEST_CASE("a text is broken at spaces into lines that are no longer than the width") {
  CHECK(wrap("one two three", 7) == Lines{"one two", "three"});
  CHECK(wrap("one two three", 8) == Lines{"one two", "three"});
  CHECK(wrap("one", 80) == Lines{"one"});
  CHECK(wrap("", 80) == Lines{""});
}

TEST_CASE("a word that is longer than the width has a line of its own") {
  CHECK(wrap("a longest b", 3) == Lines{"a", "longest", "b"});
}

TEST_CASE("a newline in a text begins a line") {
  CHECK(wrap("one\ntwo", 80) == Lines{"one", "two"});
}

TEST_CASE("the help has the options by groups, the general ones last") {
  CommandLine line({});
  Tool tool("tool", line.argc(), line.argv());
  int number = 0;
  tool.describe({"Do it.", {"tool [options]", "tool WORD"}, {"tool -n 1", "tool x"}});
  tool.group("Doing");
  add_number(tool, "-n,--number", "N", number, 0, 9,
             std::string(30, 'x') + " " + std::string(30, 'y'));
  bool flag = false;
  tool.app.add_flag("--a-flag-with-quite-a-long-name", flag, "It is set");
  const std::string x(30, 'x');
  const std::string y(30, 'y');
  CHECK(tool.app.help() ==
        "Do it.\n"
        "Usage: tool [options]\n"
        "       tool WORD\n"
        "\n"
        "Doing:\n"
        "  -n, --number N            " +
            x +
            "\n"
            "                            " +
            y +
            "\n"
            "      --a-flag-with-quite-a-long-name\n"
            "                            It is set\n"
            "\n"
            "General:\n"
            "  -h, --help                Show this, and exit\n"
            "  -V, --version             Show the version, and exit\n"
            "  -v, --verbose             Write more to stderr\n"
            "  -q, --quiet               Write errors only\n"
            "      --completion SHELL    Print a completion script: bash, zsh or fish\n"
            "\n"
            "Examples:\n"
            "  tool -n 1\n"
            "  tool x\n"
            "\n"
            "See tool(1).\n");
}

}  // namespace
}  // namespace handoff
