// SPDX-License-Identifier: MIT
#include "async/signal_watcher.hpp"

#include "async/fd_watcher.hpp"

namespace handoff {

// The caller keeps the reactor and the mask as long as the task, as the header says.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> watch_signals(Reactor& reactor, const SignalMask& signals, SignalHandler handle) {
  FdWatcher watcher(reactor, signals.fd());
  for (;;) {
    while (const auto signal = signals.try_receive()) { handle(*signal); }
    co_await watcher.readable();
  }
}

}  // namespace handoff
