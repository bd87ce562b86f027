// SPDX-License-Identifier: MIT
#pragma once

#include <handoff/rpc/method_table.hpp>

namespace handoff {

/// ping (answered as "pong"), echo, methods and info, unless there is one of that name already.
/// `worker` is the worker's number in `info`, 0 for a server without a master. Add them last.
void add_built_in_methods(MethodTable& table, int worker);

}  // namespace handoff
