// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include "cli/completion.hpp"

namespace handoff {
namespace {

/// The part that all tools' scripts share. Each tool's own function calls it with the variables
/// `options` (all names), `kinds` and `choices` (by the name of an option that takes a value),
/// `first`, `rest` and `after_dashes`.
constexpr const char* kCommon = R"sh(
# Prints a word without the quoting of the shell. Nothing is expanded but a tilde.
_handoff_unquoted() {
  local text=${1//[\\\"\']/}
  [[ $text != '~'/* ]] || text=$HOME/${text:2}
  printf '%s' "$text"
}

# Sets `words`, `current` (up to the cursor), and `glued`: what of it the shell takes for other
# words. It breaks words at : and =, which are parts of ours; those that touch are joined.
_handoff_split() {
  local line=${COMP_LINE:0:COMP_POINT} trimmed word i
  words=() glued=
  for ((i = 0; i <= COMP_CWORD; i++)); do
    trimmed=${line#"${line%%[![:space:]]*}"}
    word=${COMP_WORDS[i]}
    ((i < COMP_CWORD)) || word=$trimmed
    if ((i > 0)) && [[ -n $word && $trimmed == "$line" ]]; then
      glued=${words[-1]}
      words[-1]+=$word
      [[ $word != [:=] ]] || glued=${words[-1]}
    else
      glued=
      words+=("$word")
    fi
    line=${trimmed#"$word"}
  done
  current=${words[-1]}
  unset 'words[-1]'
}

# Adds those of the words that begin with `current`, which follows `start` in the shell's word.
_handoff_add() {
  local word
  for word in "$@"; do
    [[ $word == "$current"* ]] || continue
    word=$start$word
    COMPREPLY+=("${word#"$glued"}")
  done
}

_handoff_add_paths() {
  local path real
  compopt -o filenames 2>/dev/null
  while IFS= read -r path; do
    real=$path
    [[ $path != '~'/* ]] || real=$HOME/${path:2}
    if [[ -d $real || $1 == file || ($1 == socket && -S $real) ]]; then
      path=$start$path
      COMPREPLY+=("${path#"$glued"}")
    fi
  done < <(compgen -f -- "${current//\\/}")
}

# Asks the server, for a second at most. An address that would run a command is not called, nor is
# one that the shell would have to expand.
_handoff_add_methods() {
  local method server
  server=$(_handoff_unquoted "$1")
  case $server in
    exec:* | fd:* | *[\$\`]* | '') return ;;
  esac
  while IFS= read -r method; do
    [[ $method == "$(_handoff_unquoted "$current")"* ]] || continue
    printf -v method '%q' "$method"
    COMPREPLY+=("${method#"$glued"}")
  done < <(command rpc-call --list -t 1s --connect-timeout 1s -- "$server" 2>/dev/null \
    </dev/null)
}

# A command and its arguments are completed as if they stood alone, if bash-completion is there.
_handoff_add_command() {
  local i=1
  while [[ ${COMP_WORDS[i]} != -- ]]; do ((i++)); done
  if declare -F _command_offset >/dev/null; then
    _command_offset $((i + 1))
  elif ((COMP_CWORD == i + 1)); then
    mapfile -t COMPREPLY < <(compgen -c -- "$current")
  else
    _handoff_add_paths file
  fi
}

_handoff_complete() {
  local words current glued kind i word position=0 start='' server='' dashes='' option=''
  COMPREPLY=()
  _handoff_split
  for ((i = 1; i < ${#words[@]}; i++)); do
    word=${words[i]}
    if [[ -n $option ]]; then
      option=
    elif [[ -z $dashes && $word == -- ]]; then
      dashes=yes
    elif [[ -z $dashes && $word == -[!0-9]* ]]; then
      [[ -z ${kinds[$word]} ]] || option=$word
    else
      ((position++ > 0)) || server=$word
    fi
  done
  if [[ -n $option ]]; then
    kind=${kinds[$option]}
  elif [[ -n $dashes && $after_dashes == command ]]; then
    kind='command'
  elif [[ -z $dashes && $current == --*=* ]]; then
    option=${current%%=*}
    start=$option=
    current=${current#*=}
    kind=${kinds[$option]}
  elif [[ -z $dashes && $current == -* ]]; then
    kind=option
  else
    kind=${first[position]:-$rest}
  fi
  case $kind in
    option) _handoff_add "${options[@]}" ;;
    choice)
      read -ra words <<<"${choices[$option]}"
      _handoff_add "${words[@]}"
      ;;
    file | directory) _handoff_add_paths "$kind" ;;
    socket | server) _handoff_add_paths socket ;;
    method) _handoff_add_methods "$server" ;;
    command) _handoff_add_command ;;
  esac
}
)sh";

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

}  // namespace

std::string bash_completion(const CommandSyntax& syntax) {
  std::string options;
  std::string kinds;
  std::string choices;
  for (const OptionSyntax& option : syntax.options) {
    for (const std::string& name : option.names) {
      options += fmt::format("\n    {}", name);
      if (option.takes_value()) {
        kinds += fmt::format("\n    [{}]={}", name, word_for(option.kind));
      }
      if (option.kind == WordKind::choice) {
        choices += fmt::format("\n    [{}]={}", name, quoted(joined(option.choices), "'\\''"));
      }
    }
  }
  std::vector<std::string> first;
  for (const WordKind kind : syntax.words.first) { first.push_back(word_for(kind)); }
  std::string script =
      fmt::format("# Completes {0} in bash; printed by `{0} --completion bash`.\n", syntax.name);
  script += kCommon;
  script += fmt::format(
      "\n_handoff_complete_{}() {{\n  local first=({}) rest={} after_dashes={}\n"
      "  local -a options=({}\n  )\n  local -A kinds=({}\n  )\n  local -A choices=({}\n  )\n"
      "  _handoff_complete\n}}\n",
      identifier_of(syntax), joined(first), word_for(syntax.words.rest),
      word_for(syntax.words.after_dashes), options, kinds, choices);
  script +=
      fmt::format("complete -F _handoff_complete_{} {}\n", identifier_of(syntax), syntax.name);
  return script;
}

}  // namespace handoff
