// SPDX-License-Identifier: MIT
#include "async/signal_watcher.hpp"

#include "async/fd_watcher.hpp"

namespace handoff {

Task<void> watch_signals(Reactor& reactor, const SignalMask& signals, SignalHandler handle) {
  FdWatcher watcher(reactor, signals.fd());
  for (;;) {
    while (const auto signal = signals.try_receive()) { handle(*signal); }
    co_await watcher.readable();
  }
}

}  // namespace handoff
