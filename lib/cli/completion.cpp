// SPDX-License-Identifier: MIT
#include "cli/completion.hpp"

#include <algorithm>

namespace handoff {

std::string completion_script(const CommandSyntax& syntax, Shell shell) {
  switch (shell) {
    case Shell::bash: return bash_completion(syntax);
    case Shell::zsh: return zsh_completion(syntax);
    default: return fish_completion(syntax);
  }
}

std::string identifier_of(const CommandSyntax& syntax) {
  std::string name = syntax.name;
  const auto is_other = [](char c) {
    return !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9');
  };
  std::replace_if(name.begin(), name.end(), is_other, '_');
  return name;
}

std::string quoted(const std::string& text, const std::string& escape) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string word_for(WordKind kind) {
  switch (kind) {
    case WordKind::choice: return "choice";
    case WordKind::file: return "file";
    case WordKind::directory: return "directory";
    case WordKind::socket: return "socket";
    case WordKind::server: return "server";
    case WordKind::method: return "method";
    case WordKind::command: return "command";
    default: return "text";
  }
}

}  // namespace handoff
