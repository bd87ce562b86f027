// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

#include "master/held_connection.hpp"
#include "master/worker_channel.hpp"

namespace handoff {

/// The part of a master that decides who gets what it passes. A link is known to it from
/// worker_joined to worker_gone, and outlives that time.
class Dispatcher {
 public:
  virtual ~Dispatcher() = default;

  /// The worker can serve.
  virtual void worker_joined(WorkerChannel& link) = 0;
  /// It is to get nothing more: it drains, or is gone. What it was not sent yet goes to others.
  virtual void worker_left(WorkerChannel& link) = 0;
  /// It is gone, after worker_left(), and everything that it has sent was received. What it has not
  /// started goes to others.
  virtual void worker_gone(WorkerChannel& link) = 0;
  /// It has room again, or holds fewer connections; what waits for that is passed, and what is
  /// queued is sent.
  virtual void worker_has_room(WorkerChannel& link) = 0;
  /// Another master takes over, and has all but the connections.
  virtual void successor_joined(WorkerChannel& link) = 0;
  /// Nothing more is accepted: finish what the master itself serves, then close it, or give it to
  /// the successor that has joined.
  virtual void drain(channel::Drain) {}
  /// Connections that the master itself serves.
  virtual std::size_t serving() const { return 0; }
  /// Of those that it should give to the successor, some still have calls that no worker has got.
  virtual bool needs_workers() const { return false; }
  /// Connections that were lost because they could not be given to the successor.
  virtual std::size_t lost() const { return 0; }
  /// A worker leaves to others who waits at the listeners that they share.
  virtual void others_shall_accept(WorkerChannel&) {}
  /// What a worker that is started finds from descriptor 3 on, and in LISTEN_FDS.
  virtual std::span<const int> inheritance() const { return {}; }
  /// A connection was accepted, while can_take(), or came back, at any time. Throws when it can't
  /// be taken: ProtocolError if it brings more unread bytes than a connection may, SystemError if
  /// its spilled bytes can't be read, std::bad_alloc. Then that connection is closed and nothing
  /// else has changed; the caller says so and goes on.
  virtual void work_arrived(HeldConnection held) = 0;
  /// Whether some worker has room.
  virtual bool can_take() const = 0;
  /// Whether there is a worker or a successor to take connections, with room or without.
  virtual bool has_takers() const = 0;
  /// Sends what work_arrived() has queued, several in a message.
  virtual void flush() = 0;
  /// Gives what waits to the workers that there are, room or not: it is their last.
  virtual void flush_all() = 0;
  /// Connections that no worker has room for.
  virtual std::size_t waiting() const = 0;
  /// Counts those of them that are not idle: a stop cuts them off.
  virtual std::size_t waiting_to_be_served() const = 0;
};

}  // namespace handoff
