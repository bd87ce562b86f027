// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace handoff {

/// What a word of a command line is, as far as a shell can complete it.
enum class WordKind {
  text,       ///< any text, which a shell cannot complete
  choice,     ///< one of the words in `choices`
  file,       ///< the path of a file
  directory,  ///< the path of a folder
  socket,     ///< the path of a Unix socket
  server,  ///< the address of a server: the path of a Unix socket, or something that a shell cannot
           ///< complete
  method,  ///< a method of the server that is the first word
  command,  ///< a command with its arguments
};

/// An option, as a shell has to know it.
struct OptionSyntax {
  std::vector<std::string> names;     ///< with their dashes, short names first
  std::vector<std::string> excluded;  ///< the names of options that cannot be combined with it
  std::string help;                   ///< its explanation, on one line
  std::string value;                  ///< the name of its value; empty for a flag
  WordKind kind = WordKind::text;     ///< the kind of its value
  std::vector<std::string> choices;   ///< with WordKind::choice
  bool repeatable = false;

  bool takes_value() const { return !value.empty(); }
};

/// The words of a command line that belong to no option.
struct WordsSyntax {
  std::vector<WordKind> first;     ///< the first words, one after the other
  WordKind rest = WordKind::text;  ///< all later words
  WordKind after_dashes =
      WordKind::text;  ///< `command` if a command follows "--"; otherwise the dashes change nothing
};

/// A tool's whole command line, of which completion_script() makes the script of a shell.
struct CommandSyntax {
  std::string name;
  std::vector<OptionSyntax> options;
  WordsSyntax words;
};

/// What CLI11 does not know of the values of options. The options must outlive it.
class ValueHints {
 public:
  /// These record the kind of an option's value, or the words that it may be.
  void set_kind(const CLI::Option* option, WordKind kind);
  void set_choices(const CLI::Option* option, std::vector<std::string> words);

  /// Returns what these hints and CLI11 know of `option`.
  OptionSyntax describe(const CLI::Option* option) const;

 private:
  std::map<const CLI::Option*, WordKind> kinds_;
  std::map<const CLI::Option*, std::vector<std::string>> choices_;
};

/// Returns the command line of `app` with all options that were added to it.
CommandSyntax syntax_of(const CLI::App& app, const ValueHints& hints, WordsSyntax words);

}  // namespace handoff
