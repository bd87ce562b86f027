// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "ping/pinger.hpp"

namespace handoff {

/// What the targets of one pinger share.
struct PingRun {
  Reactor& reactor;
  PingOptions options;
  PingObserver& observer;
  std::size_t unfinished;  ///< targets
  bool alone;              ///< there is one target: it fails with its first connection
  Event over;              ///< no target is left, or somebody wants the end
  bool paused = false;     ///< no probe is sent
};

}  // namespace handoff
