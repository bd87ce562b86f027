// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "async/reactor.hpp"
#include "methods/child_runner.hpp"
#include "rpc/method_table.hpp"

namespace handoff {

/// Adds a method for each executable file in the directory, which is named after it and runs it as
/// command_handler does. Left out are hidden files, and names that `table` has already.
///
/// The directory is opened and listed once, here: what is run later is found by the descriptor and
/// by a name of this list, never by anything that a client sent. Throws SystemError.
void add_directory(MethodTable& table, Reactor& reactor, ChildRunner& runner,
                   const std::string& path);

}  // namespace handoff
