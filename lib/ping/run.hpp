// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "ping/pinger.hpp"

namespace handoff {

/// What the targets of one pinger share. The pinger owns it; the targets change it.
struct PingRun {
  Reactor& reactor;
  PingOptions options;
  PingObserver& observer;
  std::size_t unfinished;  ///< targets that have not finished
  bool alone;              ///< there is one target, which fails with its first connection
  Event over;              ///< no target is left, or run() is to end
  bool paused = false;     ///< no probe is sent
};

}  // namespace handoff
