// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/signals.hpp"

namespace handoff {

using SignalHandler = std::function<void(const ReceivedSignal&)>;

/// Calls `handle` for each signal of the mask as it arrives; also for those that arrived before.
/// It never ends by itself: spawn it. An exception of `handle` ends it, and leaves Reactor::run.
///
/// The mask, and what `handle` refers to, must outlive the task.
Task<void> watch_signals(Reactor& reactor, const SignalMask& signals, SignalHandler handle);

}  // namespace handoff
