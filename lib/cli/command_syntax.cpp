// SPDX-License-Identifier: MIT
#include "cli/command_syntax.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <utility>

namespace handoff {
namespace {

std::vector<std::string> names_of(const CLI::Option* option) {
  std::vector<std::string> names;
  for (const std::string& name : option->get_snames()) { names.push_back("-" + name); }
  for (const std::string& name : option->get_lnames()) { names.push_back("--" + name); }
  return names;
}

}  // namespace

void ValueHints::set_kind(const CLI::Option* option, WordKind kind) {
  kinds_[option] = kind;
}

void ValueHints::set_choices(const CLI::Option* option, std::vector<std::string> words) {
  kinds_[option] = WordKind::choice;
  choices_[option] = std::move(words);
}

OptionSyntax ValueHints::describe(const CLI::Option* option) const {
  OptionSyntax syntax;
  syntax.names = names_of(option);
  syntax.help = option->get_description();
  std::replace(syntax.help.begin(), syntax.help.end(), '\n', ' ');
  syntax.repeatable = option->get_items_expected_max() > 1;
  if (option->get_items_expected_max() > 0) { syntax.value = option->get_type_name(); }
  if (const auto kind = kinds_.find(option); kind != kinds_.end()) { syntax.kind = kind->second; }
  if (const auto words = choices_.find(option); words != choices_.end()) {
    syntax.choices = words->second;
  }
  for (const CLI::Option* other : option->get_excludes()) {
    const std::vector<std::string> names = names_of(other);
    syntax.excluded.insert(syntax.excluded.end(), names.begin(), names.end());
  }
  // CLI11 keeps them in the order of their addresses, which differs from run to run.
  std::sort(syntax.excluded.begin(), syntax.excluded.end());
  return syntax;
}

CommandSyntax syntax_of(const CLI::App& app, const ValueHints& hints, WordsSyntax words) {
  CommandSyntax syntax{app.get_name(), {}, std::move(words)};
  for (const CLI::Option* option : app.get_options()) {
    syntax.options.push_back(hints.describe(option));
  }
  return syntax;
}

}  // namespace handoff
