// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/command_syntax.hpp"

namespace handoff {

enum class Shell { bash, zsh, fish };

/// --completion was given: tool_main() prints the script and exits.
struct CompletionRequest {
  Shell shell;
};

/// Returns a script by which the shell completes the options of a tool, their values and its other
/// words. It asks a server for its methods by `rpc-call --list`, for a second at most, and runs
/// nothing that was typed.
std::string completion_script(const CommandSyntax& syntax, Shell shell);

/// completion_script() for one of the shells.
std::string bash_completion(const CommandSyntax& syntax);
std::string zsh_completion(const CommandSyntax& syntax);
std::string fish_completion(const CommandSyntax& syntax);

/// Returns the name of the tool as a part of a function's name: rpc-call is rpc_call.
std::string identifier_of(const CommandSyntax& syntax);

/// Returns `text` in single quotes; within them `escape` stands for a quote.
std::string quoted(const std::string& text, const std::string& escape);

/// Returns the word for a kind that the scripts of bash and fish compare.
std::string word_for(WordKind kind);

}  // namespace handoff
