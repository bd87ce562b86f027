// SPDX-License-Identifier: MIT
#include "cli/completion.hpp"

#include <doctest/doctest.h>

#include <string>

namespace handoff {
namespace {

/// A tool with one option, whose help has what is a sign of the shells.
CommandSyntax tool_with_option() {
  CommandSyntax syntax;
  syntax.name = "a-tool";
  OptionSyntax option;
  option.names = {"-o", "--option"};
  option.help = R"(It's [one] of: a \ b)";
  option.value = "WHAT";
  option.kind = WordKind::choice;
  option.choices = {"one", "two"};
  syntax.options = {option};
  syntax.words = {{WordKind::server, WordKind::method}};
  return syntax;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("bash gets each name of an option, and the words of its choice") {
  const std::string script = completion_script(tool_with_option(), Shell::bash);
  CHECK(contains(script, "\n    -o\n    --option\n"));
  CHECK(contains(script, "\n    [-o]=choice\n    [--option]=choice\n"));
  CHECK(contains(script, "\n    [--option]='one two'\n"));
  CHECK(contains(script, "first=(server method) rest=text after_dashes=text"));
  CHECK(script.ends_with("\ncomplete -F _handoff_complete_a_tool a-tool\n"));
}

TEST_CASE("zsh gets the help of an option with its own signs escaped") {
  const std::string script = completion_script(tool_with_option(), Shell::zsh);
  CHECK(script.starts_with("#compdef a-tool\n"));
  CHECK(
      contains(script, R"( '(-o --option)--option=[It'\''s \[one\] of\: a \\ b]:WHAT:(one two)')"));
  CHECK(contains(script, "':server:_handoff_sockets' \\\n    ':method:_handoff_methods'"));
}

TEST_CASE("fish gets the help of an option with its own signs escaped") {
  const std::string script = completion_script(tool_with_option(), Shell::fish);
  CHECK(contains(
      script, R"(complete -c a-tool -s o -l option -x -a 'one two' -d 'It\'s [one] of: a \\ b')"));
  CHECK(contains(script, "-n 'test (count (__handoff_words -o --option)) -eq 0' -x"));
}

TEST_CASE("an option that may be repeated is offered again in zsh") {
  CommandSyntax syntax = tool_with_option();
  syntax.options[0].repeatable = true;
  CHECK(contains(completion_script(syntax, Shell::zsh), " '*--option="));
}

TEST_CASE("the words behind -- are a command's where a tool runs one") {
  CommandSyntax syntax = tool_with_option();
  syntax.words.after_dashes = WordKind::command;
  CHECK(contains(completion_script(syntax, Shell::bash), "after_dashes=command\n"));
  CHECK(contains(completion_script(syntax, Shell::zsh), "    _normal\n"));
  CHECK(contains(completion_script(syntax, Shell::fish), "(__handoff_command)"));
}

}  // namespace
}  // namespace handoff
