// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cli/completion.hpp"

namespace handoff {
namespace {

constexpr const char* kCommon = R"sh(
_handoff_sockets() {
  _files -g '*(-=)'
}

# Asks the server, for a second at most. An address that would run a command is not called, nor is
# one that the shell would have to expand.
_handoff_methods() {
  local server=${(Q)line[1]}
  local -a methods
  [[ $server != (exec:*|fd:*|*[\$\`]*|) ]] || return 1
  [[ $server != '~/'* ]] || server=$HOME/${server[3,-1]}
  methods=(${(f)"$(command rpc-call --list -t 1s --connect-timeout 1s -- $server 2>/dev/null \
    </dev/null)"})
  local expl
  _wanted methods expl method compadd -a methods
}
)sh";

/// Returns what _arguments runs to complete a word; a space for a word that no shell can complete.
std::string action_for(WordKind kind, const std::vector<std::string>& choices) {
  switch (kind) {
    case WordKind::choice: return fmt::format("({})", fmt::join(choices, " "));
    case WordKind::file: return "_files";
    case WordKind::directory: return "_files -/";
    case WordKind::socket:
    case WordKind::server: return "_handoff_sockets";
    case WordKind::method: return "_handoff_methods";
    default: return " ";
  }
}

/// Escapes colons and brackets, which have a meaning in a specification of _arguments.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ':' || c == '[' || c == ']' || c == '\\') { out += '\\'; }
    out += c;
  }
  return out;
}

/// Appends "(-t --timeout)-t+[Deadline ...]:T: ", one for each name.
void add_specifications(const OptionSyntax& option, std::string& out) {
  std::vector<std::string> excluded = option.excluded;
  if (!option.repeatable) {
    excluded.insert(excluded.begin(), option.names.begin(), option.names.end());
  }
  for (const std::string& name : option.names) {
    std::string text = option.repeatable ? "*" : "";
    if (!excluded.empty()) { text = fmt::format("({}){}", fmt::join(excluded, " "), text); }
    text += name;
    if (option.takes_value()) { text += name.starts_with("--") ? "=" : "+"; }
    text += fmt::format("[{}]", escaped(option.help));
    if (option.takes_value()) {
      text += fmt::format(":{}:{}", escaped(option.value), action_for(option.kind, option.choices));
    }
    out += fmt::format(" \\\n    {}", quoted(text, "'\\''"));
  }
}

}  // namespace

std::string zsh_completion(const CommandSyntax& syntax) {
  std::string script = fmt::format(
      "#compdef {0}\n# Completes {0} in zsh; printed by `{0} --completion zsh`.\n", syntax.name);
  script += kCommon;
  script += fmt::format("\n_{}() {{\n  local line state\n  typeset -A opt_args\n", syntax.name);
  if (syntax.words.after_dashes == WordKind::command) {
    script +=
        "  local dashes=${words[(i)--]}\n"
        "  if (( dashes < CURRENT )); then\n"
        "    shift $dashes words\n"
        "    (( CURRENT -= dashes ))\n"
        "    _normal\n"
        "    return\n"
        "  fi\n";
  }
  script += "  _arguments -s -S :";
  for (const OptionSyntax& option : syntax.options) { add_specifications(option, script); }
  for (const WordKind kind : syntax.words.first) {
    script += fmt::format(" \\\n    ':{}:{}'", word_for(kind), action_for(kind, {}));
  }
  if (!syntax.words.first.empty() && syntax.words.after_dashes != WordKind::command) {
    script += fmt::format(" \\\n    '*:{}:{}'", word_for(syntax.words.rest),
                          action_for(syntax.words.rest, {}));
  }
  // zsh loads the file as the body of a function when that is called by its name; otherwise a user
  // sources it.
  script += fmt::format(
      "\n}}\n\nif [[ ${{funcstack[1]}} == _{0} ]]; then\n  _{0} \"$@\"\nelse\n  compdef _{0} "
      "{0}\nfi\n",
      syntax.name);
  return script;
}

}  // namespace handoff
