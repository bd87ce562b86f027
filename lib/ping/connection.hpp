// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"
#include "ping/history.hpp"
#include "rpc/client_connection.hpp"

namespace handoff {

class PingTarget;

/// Probes on one connection, which is opened again when it was lost and a probe is due.
///
/// A probe is timed from right before the write that carries it (or from when it was due, at pace
/// `rate`) to right after the read that brings its reply.
class PingConnection final : private Timer {
 public:
  /// `client` may be null. The target must outlive it, and it must outlive its run().
  PingConnection(PingTarget& target, std::unique_ptr<ClientConnection> client);

  enum class FirstConnect {
    at_once,
    for_first_probe,
  };

  /// Connects, sends and receives; never ends by itself. A connection that has a client already
  /// connects only again.
  Task<void> run(FirstConnect first);

  /// Takes a probe, which is written with others that are due. Needs has_room().
  void push(std::uint64_t seq, TimePoint due);
  /// Whether so much is under way that nothing more can be taken. When all that is under way is
  /// lost, the connection is given up, and there is room again soon.
  bool has_room();
  /// Probes that were taken and are neither answered nor lost.
  std::size_t under_way() const { return probes_.size() - expired_; }
  /// Between trouble and the next attempt.
  bool pausing() const { return pausing_; }

 private:
  struct Probe {
    std::uint64_t seq;
    TimePoint start;
  };

  Task<bool> open();
  void start_receiving();
  Task<void> receive();
  Task<void> write_probes();
  Task<void> close();
  Task<void> pause();
  void take_reply(const Reply& reply, TimePoint now);
  /// Counts a reply to a probe that is over: one that comes once more, or late. False when it is to
  /// none of those that are remembered.
  bool take_repeated(const Reply& reply, TimePoint now);
  /// The replies to the probes before this one do not come. False when there is no such probe.
  bool skip_to(std::uint64_t seq);
  void drop(std::size_t count, std::string_view why);
  TimePoint expiry(const Probe& probe) const;
  void arm();
  void on_timer() override;

  PingTarget& target_;
  std::unique_ptr<ClientConnection> client_;
  // In the order in which they were taken: those that expired and may still be answered late,
  // those under way, those not yet written.
  std::deque<Probe> probes_;
  std::size_t expired_ = 0;
  std::size_t written_ = 0;
  PingHistory history_;  ///< of this connection
  std::string failure_;  ///< why the connection must be closed; empty while it is good
  Event work_;           ///< something is to be written, or to be closed
  Event received_all_;   ///< receive() has ended
  bool closing_ = false;
  bool pausing_ = false;
};

}  // namespace handoff
