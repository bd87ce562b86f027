// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/async/timer.hpp>

#include "ping/history.hpp"
#include "rpc/client_connection.hpp"

namespace handoff {

class PingTarget;

/// Sends probes on one connection and matches the replies to them by their order. When the
/// connection is lost, it is opened again as soon as a probe is due.
///
/// A probe is timed from just before the write that carries it (or from when it was due, at pace
/// `rate`) to just after the read that brings its reply.
class PingConnection final : private Timer {
 public:
  /// `client` is a connection that exists already, or null. The target must outlive this object,
  /// which must outlive its run().
  PingConnection(PingTarget& target, std::unique_ptr<ClientConnection> client);

  /// Says when the first connection is made.
  enum class FirstConnect {
    at_once,
    for_first_probe,
  };

  /// Connects, sends and receives. It never ends by itself: spawn it. If the constructor was given
  /// a client, `first` has no meaning. Failures are reported to the target.
  Task<void> run(FirstConnect first);

  /// Takes over a probe, which is written together with others that are due. Call it only if
  /// has_room().
  void push(std::uint64_t seq, TimePoint due);
  /// Returns whether push() may be called. If there is no room and all probes under way are lost,
  /// the connection is closed, and there is room again soon.
  bool has_room();
  /// Returns the number of probes that were taken over and are neither answered nor lost.
  std::size_t under_way() const { return probes_.size() - expired_; }
  /// Returns whether the connection waits between a failure and its next attempt.
  bool pausing() const { return pausing_; }

 private:
  struct Probe {
    std::uint64_t seq;
    TimePoint start;
  };

  /// Connects. Returns false if that failed; the probes are then lost, or taken back if they were
  /// never sent.
  Task<bool> open();
  void start_receiving();
  Task<void> receive();
  Task<void> write_probes();
  /// Closes the connection after a failure; the probes that were written are lost.
  Task<void> close();
  /// Waits for as long as the target says, so that the next probe does not fail in the same way at
  /// once.
  Task<void> pause();
  /// Takes a reply, and returns whether it was the last one of a server that shuts down: then the
  /// probes that it has not answered are sent again on another connection.
  bool take_or_end(const Reply& reply, TimePoint now);
  /// Counts a reply as that of the oldest probe, unless its params name another one.
  void take_reply(const Reply& reply, TimePoint now);
  /// Counts a reply to a probe that is over: a duplicate or a late one. Returns false if it answers
  /// none of the probes that are remembered.
  bool take_repeated(const Reply& reply, TimePoint now);
  /// Gives up all probes before this one, because a later one is answered. Returns false if no such
  /// probe is under way.
  bool skip_to(std::uint64_t seq);
  /// Gives up the first `count` probes; those that have not expired are lost.
  void drop(std::size_t count, std::string_view why);
  /// Returns when the probe is lost if no reply has arrived.
  TimePoint expiry(const Probe& probe) const;
  /// Sets the timer for the first probe under way.
  void arm();
  void on_timer() override;

  PingTarget& target_;
  std::unique_ptr<ClientConnection> client_;
  // The probes in the order in which they were taken over: those that have expired and may still be
  // answered late, those under way, and those not yet written.
  std::deque<Probe> probes_;
  std::size_t expired_ = 0;
  std::size_t written_ = 0;
  PingHistory history_;         ///< the probes of this connection that are over
  std::string failure_;         ///< why the connection must be closed; empty while it works
  bool ends_in_order_ = false;  ///< failure_ is that the server shuts down, and loses nothing
  Event work_;                  ///< there is something to write, or the connection must be closed
  Event received_all_;          ///< receive() has ended
  bool closing_ = false;
  bool pausing_ = false;
};

}  // namespace handoff
