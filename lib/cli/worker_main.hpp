// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "async/reactor.hpp"
#include "rpc/handlers.hpp"

namespace handoff {

/// Adds methods to a worker. Called at the start, and again when they are made anew (HUP); the
/// reactor is the one that the handlers run on.
using AddMethods = std::function<void(Handlers& handlers, Reactor& reactor)>;

/// The main function of a worker: rpc-worker, with all of its options, and these methods besides.
/// Gives the exit status.
int worker_main(const char* name, int argc, char** argv, const AddMethods& add_own);

}  // namespace handoff
