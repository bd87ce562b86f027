// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/rpc/method_table.hpp>

namespace handoff {

/// Adds the methods `ping` (whose replies are named "pong"), `echo`, `methods` and `info`, each
/// unless the table already has one of that name; so call this after all other methods were added.
/// `worker` is the worker's number for `info`, 0 for a server without a master.
void add_built_in_methods(MethodTable& table, int worker);

}  // namespace handoff
