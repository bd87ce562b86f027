// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace handoff {

/// What --help says about a tool besides its options.
struct HelpText {
  std::string purpose;                ///< what the tool does: whole sentences
  std::vector<std::string> forms;     ///< the forms of its command line, each without "Usage:"
  std::vector<std::string> examples;  ///< command lines
};

/// The group of options that every tool has. It is the last one of the help.
inline constexpr const char* kGeneralOptions = "General";

/// Formats the help of a tool in at most 80 columns: the purpose, the forms, the options by their
/// groups, the examples, and the name of the manual page. CLI11's own formatter knows neither "--"
/// nor two forms of one command, and breaks no lines.
class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(HelpText text) : text_(std::move(text)) {}

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;

 private:
  HelpText text_;
};

/// Breaks a text at its spaces into lines of at most `width` columns; a longer word has a line of
/// its own. A newline in the text begins a line too.
std::vector<std::string> wrap(std::string_view text, std::size_t width);

}  // namespace handoff
