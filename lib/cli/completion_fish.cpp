// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cli/completion.hpp"

namespace handoff {
namespace {

/// In the functions $argv holds the names of all options that take a value.
constexpr const char* kCommon = R"sh(
# Prints the words before the cursor that are neither options nor their values. After -- all are.
function __handoff_words
    set -l value no
    set -l dashes no
    set -l tokens (commandline -opc)
    for word in $tokens[2..-1]
        if test $value = yes
            set value no
        else if test $dashes = no; and test "$word" = --
            set dashes yes
        else if test $dashes = no; and string match -qr -- '^-[^0-9]' "$word"
            contains -- "$word" $argv; and set value yes
        else
            printf '%s\n' "$word"
        end
    end
end

function __handoff_sockets
    set -l token (commandline -ct)
    for path in $token*
        if test -d "$path"
            printf '%s/\n' "$path"
        else if test -S "$path"
            printf '%s\n' "$path"
        end
    end
end

# Asks the server, for a second at most. An address that would run a command is not called, nor is
# one that the shell would have to expand.
function __handoff_methods
    set -l words (__handoff_words $argv)
    set -l server $words[1]
    string match -qr -- '^(exec:|fd:|$)|[$`(]' "$server"; and return
    set server (string replace -r -- '^~/' "$HOME/" "$server")
    command rpc-call --list -t 1s --connect-timeout 1s -- "$server" 2>/dev/null </dev/null
end

# Completes a command and its arguments as if they stood alone.
function __handoff_command
    set -l tokens (commandline -opc)
    set -l dashes (contains -i -- -- $tokens)
    set -l command $tokens[(math $dashes + 1)..-1]
    complete -C (string join ' ' -- (string escape -- $command) (commandline -ct))
end
)sh";

std::string quote(const std::string& text) {
  std::string doubled;
  for (const char c : text) { doubled += c == '\\' ? "\\\\" : std::string(1, c); }
  return quoted(doubled, "\\'");
}

/// Returns the part of a `complete` command that says what a value or a word can be. `values` are
/// the names of the options that take one.
std::string words_for(WordKind kind, const std::vector<std::string>& choices,
                      const std::string& values) {
  switch (kind) {
    case WordKind::choice:
      return fmt::format(" -x -a {}", quote(fmt::format("{}", fmt::join(choices, " "))));
    case WordKind::file: return " -r -F";
    case WordKind::directory: return " -x -a '(__fish_complete_directories)'";
    case WordKind::socket:
    case WordKind::server: return " -x -a '(__handoff_sockets)'";
    case WordKind::method: return fmt::format(" -x -a '(__handoff_methods {})'", values);
    case WordKind::command: return " -x -a '(__handoff_command)'";
    default: return " -x";
  }
}

std::string line_for(const std::string& tool, const OptionSyntax& option) {
  std::string line = fmt::format("complete -c {}", tool);
  for (const std::string& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (option.takes_value()) { line += words_for(option.kind, option.choices, ""); }
  return line + fmt::format(" -d {}\n", quote(option.help));
}

}  // namespace

std::string fish_completion(const CommandSyntax& syntax) {
  std::string values;
  std::string script =
      fmt::format("# Completes {0} in fish; printed by `{0} --completion fish`.\n", syntax.name);
  script += kCommon;
  script += fmt::format("\ncomplete -c {} -f\n", syntax.name);
  for (const OptionSyntax& option : syntax.options) {
    script += line_for(syntax.name, option);
    if (!option.takes_value()) { continue; }
    for (const std::string& name : option.names) { values += (values.empty() ? "" : " ") + name; }
  }
  const bool has_command = syntax.words.after_dashes == WordKind::command;
  const std::string before =
      has_command ? "not contains -- -- (commandline -opc); and " : std::string();
  const auto add_word = [&](const std::string& comparison, WordKind kind) {
    if (kind == WordKind::text) { return; }
    script += fmt::format("complete -c {} -n '{}test (count (__handoff_words {})) {}'{}\n",
                          syntax.name, before, values, comparison, words_for(kind, {}, values));
  };
  for (std::size_t i = 0; i < syntax.words.first.size(); ++i) {
    add_word(fmt::format("-eq {}", i), syntax.words.first[i]);
  }
  add_word(fmt::format("-ge {}", syntax.words.first.size()), syntax.words.rest);
  if (has_command) {
    script += fmt::format("complete -c {} -n 'contains -- -- (commandline -opc)'{}\n", syntax.name,
                          words_for(WordKind::command, {}, values));
  }
  return script;
}

}  // namespace handoff
