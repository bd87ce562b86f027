// SPDX-License-Identifier: MIT
#pragma once

#include <functional>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/signals.hpp"

namespace handoff {

/// Called for each signal, on the reactor's thread.
using SignalHandler = std::function<void(const ReceivedSignal&)>;

/// Calls `handle` for each signal of the mask as it arrives, and for those that arrived before. The
/// task never ends by itself: spawn it. An exception of `handle` ends it and leaves Reactor::run().
///
///     const SignalMask signals({SIGINT, SIGTERM});
///     reactor.spawn(watch_signals(reactor, signals, [&](const ReceivedSignal&) { stop.set(); }));
Task<void> watch_signals(Reactor& reactor, const SignalMask& signals, SignalHandler handle);

}  // namespace handoff
