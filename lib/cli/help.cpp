// SPDX-License-Identifier: MIT
#include "cli/help.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

namespace handoff {
namespace {

constexpr std::size_t kWidth = 80;
constexpr std::size_t kColumn = 28;  ///< where what an option does begins

/// The names are in one column: a long one without a short one leaves room for that.
std::string names_of(const CLI::Option& option) {
  std::string names = option.get_snames().empty() ? "      " : "  ";
  for (const std::string& name : option.get_snames()) { names += "-" + name; }
  if (!option.get_snames().empty() && !option.get_lnames().empty()) { names += ", "; }
  for (const std::string& name : option.get_lnames()) { names += "--" + name; }
  const std::string type = option.get_type_name();
  return type.empty() ? names : names + " " + type;
}

/// A name that reaches into the second column has a line of its own.
std::string describe(const CLI::Option& option) {
  const std::string names = names_of(option);
  const bool fits = names.size() + 2 <= kColumn;
  std::string text = fits ? fmt::format("{:<{}}", names, kColumn) : names + "\n";
  bool begun = fits;
  for (const std::string& line : wrap(option.get_description(), kWidth - kColumn)) {
    if (!std::exchange(begun, false)) { text.append(kColumn, ' '); }
    text += line + "\n";
  }
  return text;
}

/// Returns the groups in the order in which options were added to them.
std::vector<std::string> groups_of(const CLI::App& app) {
  std::vector<std::string> groups;
  for (const CLI::Option* option : app.get_options()) {
    const std::string& group = option->get_group();
    const bool known = std::find(groups.begin(), groups.end(), group) != groups.end();
    if (!known && group != kGeneralOptions) { groups.push_back(group); }
  }
  groups.emplace_back(kGeneralOptions);
  return groups;
}

}  // namespace

std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  bool begins = true;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
    const std::string_view word = text.substr(0, end);
    if (!begins && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
      begins = true;
    }
    if (!std::exchange(begins, false)) { lines.back() += ' '; }
    lines.back() += word;
    if (end < text.size() && text[end] == '\n') {
      lines.emplace_back();
      begins = true;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string HelpFormatter::make_help(const CLI::App* app, std::string /*name*/,
                                     CLI::AppFormatMode /*mode*/) const {
  std::string help;
  for (const std::string& line : wrap(text_.purpose, kWidth)) { help += line + "\n"; }
  const char* before = "Usage: ";
  for (const std::string& form : text_.forms) {
    help += std::exchange(before, "       ") + form + "\n";
  }
  for (const std::string& group : groups_of(*app)) {
    help += fmt::format("\n{}:\n", group);
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_group() == group) { help += describe(*option); }
    }
  }
  help += "\nExamples:\n";
  for (const std::string& example : text_.examples) { help += "  " + example + "\n"; }
  return help + fmt::format("\nSee {}(1).\n", app->get_name());
}

}  // namespace handoff
