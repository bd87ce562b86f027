// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/error.hpp>

#include "cli/completion.hpp"
#include "cli/help.hpp"
#include "cli/option_values.hpp"
#include "cli/stderr_log.hpp"
#include "os/program.hpp"

namespace handoff {

/// A tool's command line: the options that every tool has, those that the tool adds, and the words
/// after "--".
class Tool {
 public:
  /// Splits the command line at "--", and adds the options that every tool has. `name` is the name
  /// of the tool in messages.
  Tool(const char* name, int argc, char** argv);

  CLI::App app;                           ///< the tool adds its own options to it
  StderrLog log;                          ///< its level follows -v and -q after parsing
  std::vector<std::string> argv;          ///< the whole command line
  std::vector<std::string> after_dashes;  ///< the words after "--"; see parse()
  bool has_dashes = false;

  /// Sets what --help says besides the options.
  void describe(HelpText text);
  /// Begins a group of options in --help; every option that is added from now on belongs to it.
  void group(const std::string& title);

  /// Sets what the words that belong to no option are, for a shell that completes them.
  void complete_words(WordsSyntax words) { words_syntax_ = std::move(words); }
  /// Sets what the value of an option is, for a shell that completes it.
  void complete_value(const CLI::Option* option, WordKind kind) { hints_.set_kind(option, kind); }
  /// Sets the words of which the value of an option is one, for a shell that completes it.
  void complete_choice(const CLI::Option* option, std::vector<std::string> words) {
    hints_.set_choices(option, std::move(words));
  }
  /// Returns the whole command line, as a shell has to know it.
  CommandSyntax syntax() const { return syntax_of(app, hints_, words_syntax_); }

  /// Parses the words before "--". It does not show CLI11 the words after it, because CLI11 would
  /// take the first of them for a missing positional: a tool that runs a command takes them as the
  /// command, and any other tool appends them to its positionals. Throws InvalidArgument, with
  /// `remedy` at its end, for any word that belongs to no option. Like parse_words() and
  /// parse_positionals(), it throws CompletionRequest for --completion, and CLI11's exceptions,
  /// which tool_main() reports.
  void parse(std::string_view remedy = "");
  /// Parses the options of a tool whose positionals may be any text, such as JSON, and returns the
  /// positionals unchanged, including those after "--". A word like -5 is a positional.
  std::vector<std::string> parse_words();
  /// Does what parse_words() does, and leaves out the words after "--".
  std::vector<std::string> parse_positionals();
  /// Throws InvalidArgument if words follow "--"; for a tool that runs no command.
  void refuse_command() const;

  /// Prepares a program that runs until it is told to stop: calls prepare_to_run_long() and
  /// StderrLog::never_wait(). If orphans cannot be adopted, the tool logs that and goes on. Call it
  /// before there are threads or children.
  void run_long(Orphans orphans);

  /// Adds an option that takes a value, with which `parse` is called. An InvalidArgument of
  /// `parse`, "VALUE: how it is written", becomes one that names the option: "--timeout 5x: write a
  /// duration ...".
  CLI::Option* add_value(const std::string& names, const std::string& type,
                         std::function<void(const std::string&)> parse, const std::string& help);
  /// Adds an option that may be given several times; `parse` is called with each value.
  CLI::Option* add_values(const std::string& names, const std::string& type,
                          std::function<void(const std::string&)> parse, const std::string& help);
  /// Adds an option that takes a duration: "250ms", "2s", "1m", "1h"; a number alone is seconds.
  CLI::Option* add_duration(const std::string& names, Duration& value, const std::string& help);

 private:
  void parse_options();
  [[noreturn]] void refuse_option(const std::string& word) const;
  /// Throws if an option that takes no value is given one. CLI11 would read the value as a truth.
  void refuse_values_of_flags() const;

  std::vector<std::string> words_;  ///< the words before "--", in reverse, as CLI11 needs them
  int more_ = 0;
  int less_ = 0;
  std::optional<Shell> completion_;  ///< the shell that --completion has named
  ValueHints hints_;
  WordsSyntax words_syntax_;
};

/// Adds an option that may be given several times, each time with one word; the words are in its
/// results().
void add_words(CLI::App& app, const std::string& names, const std::string& help,
               const std::string& type);

/// Adds an option that takes a number from `least` to `most`.
template <typename Number>
CLI::Option* add_number(Tool& tool, const std::string& names, const std::string& type,
                        Number& value, std::type_identity_t<Number> least,
                        std::type_identity_t<Number> most, const std::string& help) {
  return tool.add_value(names, type, number_into<Number>(value, least, most), help);
}

/// Adds an option that may be given several times; each number is appended to `values`.
template <typename Number>
CLI::Option* add_numbers(Tool& tool, const std::string& names, const std::string& type,
                         std::vector<Number>& values, std::type_identity_t<Number> least,
                         std::type_identity_t<Number> most, const std::string& help) {
  const auto parse = [&values, least, most](const std::string& text) {
    Number value{};
    number_into<Number>(value, least, most)(text);
    values.push_back(value);
  };
  return tool.add_values(names, type, parse, help);
}

/// Adds an option that takes one of several words, each of which stands for a value.
template <typename Value>
CLI::Option* add_choice(Tool& tool, const std::string& names, const std::string& type, Value& value,
                        const std::vector<std::pair<std::string, Value>>& words,
                        const std::string& help) {
  std::vector<std::string> all;
  for (const auto& choice : words) { all.push_back(choice.first); }
  const auto parse = [&value, words, all](const std::string& word) {
    for (const auto& [name, meaning] : words) {
      if (name != word) { continue; }
      value = meaning;
      return;
    }
    throw InvalidArgument(fmt::format("{}: write {}", word.empty() ? "''" : word, listed(all)));
  };
  CLI::Option* option = tool.add_value(names, type, parse, help);
  tool.complete_choice(option, all);
  return option;
}

}  // namespace handoff
