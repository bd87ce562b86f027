// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "async/reactor.hpp"
#include "methods/child_runner.hpp"
#include "rpc/method_table.hpp"

namespace handoff {

/// Adds a method for each executable file in the directory. The method has the name of the file and
/// runs it as command_handler() does. Hidden files, names that are not UTF-8 or stand for several
/// methods, and names that `table` has already are left out.
///
/// The directory is opened and listed once, here: what runs later is found by the descriptor and by
/// a name of this list, never by anything that a client has sent. The methods share the descriptor
/// and close it with the last of them. The reactor and the runner must outlive the table. Throws
/// SystemError if the directory cannot be listed.
void add_directory(MethodTable& table, Reactor& reactor, ChildRunner& runner,
                   const std::string& path);

}  // namespace handoff
