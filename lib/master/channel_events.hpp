// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "master/held_connection.hpp"
#include "os/status.hpp"

namespace handoff {

class WorkerChannel;

/// What a channel tells of its worker's life. A function that is not set is not called.
struct LifeEvents {
  /// The worker can serve.
  std::function<void(WorkerChannel& link)> ready;
  /// The worker asks to be drained.
  std::function<void(WorkerChannel& link)> would_leave;
  /// The worker has told how many requests there were.
  std::function<void(WorkerChannel& link)> requests_told;
  /// The worker closed its end, or has broken the protocol, which is a failure that says how.
  /// Nothing more can be passed to it.
  std::function<void(WorkerChannel& link, const Status& how)> closed;
};

/// What a channel tells of its worker's connections. A function that is not set is not called.
struct TrafficEvents {
  /// The worker may have room again, or holds fewer connections.
  std::function<void(WorkerChannel& link)> has_room;
  /// Connections that the worker had, or refused, are to go to others: all those of one message.
  /// They are closed if this is not set.
  std::function<void(WorkerChannel& link, std::vector<HeldConnection> held)> connections_returned;
  /// The worker is gone, and what others can serve of its connections goes to them; how much that
  /// is, and how much is lost.
  std::function<void(WorkerChannel& link, const RescueCounts& counts)> rescued;
  /// The worker has returned so many connections that there was no descriptor for; they are lost.
  std::function<void(WorkerChannel& link, std::size_t count)> connections_lost;
  /// The worker has accepted so many connections itself.
  std::function<void(std::size_t count)> accepted;
  /// WorkerChannel::assigned() has changed by so much.
  std::function<void(std::ptrdiff_t change)> assigned_changed;
  /// A message to the worker could not be sent (`error`, as errno): that costs this many
  /// connections, which are closed, or with 0 of them its channel.
  std::function<void(WorkerChannel& link, std::size_t connections, int error)> send_failed;
  /// Whether what the worker returns can go to others; not, if this is not set. While it can, it
  /// waits in the channel until there are descriptors for it.
  std::function<bool()> passes_on;
};

}  // namespace handoff
