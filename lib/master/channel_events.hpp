// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "master/held_connection.hpp"
#include "os/status.hpp"

namespace handoff {

class WorkerChannel;

/// The functions that a channel calls with what it learns of its worker's life. A function that is
/// not set is not called.
struct LifeEvents {
  /// Called when the worker can serve.
  std::function<void(WorkerChannel& link)> ready;
  /// Called when the worker asks to be drained.
  std::function<void(WorkerChannel& link)> would_leave;
  /// Called when the worker has reported its number of requests.
  std::function<void(WorkerChannel& link)> requests_told;
  /// Called when the worker has closed its end, or has broken the protocol, which is a failure that
  /// says how. Nothing more can be passed to it.
  std::function<void(WorkerChannel& link, const Status& how)> closed;
};

/// The functions that a channel calls with what it learns of its worker's connections. A function
/// that is not set is not called.
struct TrafficEvents {
  /// Called when the worker may have room again, or holds fewer connections.
  std::function<void(WorkerChannel& link)> has_room;
  /// Called with connections that the worker had, or refused, and that go to others: all those of
  /// one message. They are closed if this is not set.
  std::function<void(WorkerChannel& link, std::vector<HeldConnection> held)> connections_returned;
  /// Called when the worker is gone and others get the connections that they can serve, with how
  /// many these are and how many are lost.
  std::function<void(WorkerChannel& link, const RescueCounts& counts)> rescued;
  /// Called when the worker has returned `count` connections for which there was no descriptor;
  /// they are lost.
  std::function<void(WorkerChannel& link, std::size_t count)> connections_lost;
  /// Called when the worker has accepted `count` connections itself.
  std::function<void(std::size_t count)> accepted;
  /// Called when WorkerChannel::assigned() has changed by `change`.
  std::function<void(std::ptrdiff_t change)> assigned_changed;
  /// Called when a message to the worker could not be sent (`error` is an errno). That costs this
  /// many connections, which are closed, or if there are none, its channel.
  std::function<void(WorkerChannel& link, std::size_t connections, int error)> send_failed;
  /// Returns whether connections that the worker returns can go to others; if this is not set, they
  /// cannot. While they can, they wait in the channel until there are descriptors for them.
  std::function<bool()> passes_on;
};

/// Calls the function of an event, if it is set.
template <typename... Params, typename... Args>
void tell(const std::function<void(Params...)>& event, Args&&... args) {
  if (event) { event(std::forward<Args>(args)...); }
}

}  // namespace handoff
