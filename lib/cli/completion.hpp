// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/command_syntax.hpp"

namespace handoff {

/// The shells for which there are completion scripts.
enum class Shell { bash, zsh, fish };

/// Thrown when --completion was given: tool_main() prints the script and exits.
struct CompletionRequest {
  Shell shell;
};

/// Returns a script by which a shell completes the options of a tool, their values and its other
/// words. The script asks a server for its methods with `rpc-call --list`, for a second at most,
/// and runs nothing that the user has typed.
std::string completion_script(const CommandSyntax& syntax, Shell shell);

/// These return the script for one of the shells.
std::string bash_completion(const CommandSyntax& syntax);
std::string zsh_completion(const CommandSyntax& syntax);
std::string fish_completion(const CommandSyntax& syntax);

/// Returns the tool's name as a part of a function's name: rpc_call for rpc-call.
std::string identifier_of(const CommandSyntax& syntax);

/// Returns `text` in single quotes, with `escape` in the place of each quote inside.
std::string quoted(const std::string& text, const std::string& escape);

/// Returns the word for a kind that the scripts of bash and fish compare.
std::string word_for(WordKind kind);

}  // namespace handoff
