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

/// A process that is connected to fdrecv, and sends descriptors. Senders keeps it up to date.
struct Sender {
  enum class Origin : std::uint8_t {
    accepted,
    given,  ///< the only one: the descriptor that fdrecv was started with, or what it connected to
  };

  Sender(Reactor& reactor, Fd connection, Origin from)
      : socket(std::move(connection)), watcher(reactor, socket.get()), origin(from) {}

  Fd socket;
  FdWatcher watcher;  // destroyed before the descriptor is closed
  Origin origin;
  /// When the message that it has begun must be whole, or its first one; kNever in between.
  TimePoint deadline = kNever;
  TimePoint quiet_since = kNever;  ///< the end of its last message; kNever unless it is in between
  bool dismissed = false;          ///< its place is wanted; its wait was interrupted
};

/// The senders that are connected to fdrecv: so many at a time, and none that sends nothing keeps
/// another one out for much longer than `patience`.
///
/// An accepted sender has so long for its first message, and for each later one from the first byte
/// to the last. Between two messages it may be quiet for longer, until its place is wanted.
class Senders {
 public:
  /// The reactor must outlive this object.
  Senders(Reactor& reactor, std::size_t most, Duration patience)
      : reactor_(reactor), most_(most), patience_(patience), changed_(reactor) {}
  Senders(const Senders&) = delete;
  Senders& operator=(const Senders&) = delete;

  /// Waits until there is room for another one, and dismisses those that must make it. One
  /// coroutine at a time.
  Task<void> room();

  /// A new sender, which lasts until remove().
  Sender& add(Fd connection, Sender::Origin origin);
  void remove(const Sender& sender);

  /// To be called when the first byte of a message of this sender was read, and when the message is
  /// dealt with.
  void begin_message(Sender& sender) const;
  void end_message(Sender& sender);

 private:
  TimePoint dismiss_quiet();

  Reactor& reactor_;
  std::size_t most_;
  Duration patience_;
  std::list<Sender> senders_;
  Condition changed_;  ///< one has left, or is between two messages now
};

}  // namespace handoff
