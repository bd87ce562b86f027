// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>

#include "async/condition.hpp"
#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/fd.hpp"

namespace handoff {

/// A process that is connected to fdrecv and sends descriptors. Only Senders changes its times.
struct Sender {
  /// Where the connection comes from.
  enum class Origin : std::uint8_t {
    accepted,
    given,  ///< the only sender: the descriptor that fdrecv was given, or the socket that it
            ///< connected to
  };

  Sender(Reactor& reactor, Fd connection, Origin from)
      : socket(std::move(connection)), watcher(reactor, socket.get()), origin(from) {}

  Fd socket;
  FdWatcher watcher;  // destroyed before the descriptor is closed
  Origin origin;
  /// The time by which its first message, or the message that it has begun, must be complete;
  /// kNever between messages.
  TimePoint deadline = kNever;
  TimePoint quiet_since = kNever;  ///< the end of its last message; kNever unless it is between two
  bool dismissed = false;          ///< its place is needed, so its wait was interrupted
};

/// The senders that are connected to fdrecv. Their number is bounded, and one that sends nothing
/// keeps another out for not much longer than `patience`.
///
/// An accepted sender has `patience` for its first message, and for each later one from the first
/// byte to the last. Between two messages it may be quiet for longer, until its place is needed.
class Senders {
 public:
  /// At most `most` senders are connected at a time. The reactor must outlive this object.
  Senders(Reactor& reactor, std::size_t most, Duration patience)
      : reactor_(reactor), most_(most), patience_(patience), changed_(reactor) {}
  Senders(const Senders&) = delete;
  Senders& operator=(const Senders&) = delete;

  /// Waits until there is room for another sender, and dismisses those that must make room. Only
  /// one coroutine at a time may wait. This object must outlive the task.
  Task<void> room();

  /// Adds a sender, which exists until remove(). Call room() before the next connection is
  /// accepted.
  Sender& add(Fd connection, Sender::Origin origin);
  /// Closes the connection of the sender and destroys it.
  void remove(const Sender& sender);

  /// Call these when the first byte of a message of the sender was read, and when the message was
  /// handed on.
  void begin_message(Sender& sender) const;
  void end_message(Sender& sender);

 private:
  TimePoint dismiss_quiet();

  Reactor& reactor_;
  std::size_t most_;
  Duration patience_;
  std::list<Sender> senders_;
  Condition changed_;  ///< is notified when a sender leaves or completes a message
};

}  // namespace handoff
