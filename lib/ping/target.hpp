// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "ping/connection.hpp"
#include "ping/payload.hpp"
#include "ping/peer.hpp"
#include "ping/run.hpp"
#include "rpc/client_connection.hpp"

namespace handoff {

/// One address of a pinger: decides when a probe is due, gives it to a connection, and counts what
/// becomes of it.
class PingTarget {
 public:
  /// `run` must outlive it.
  PingTarget(PingRun& run, Address address);
  PingTarget(const PingTarget&) = delete;
  PingTarget& operator=(const PingTarget&) = delete;

  /// Connects, then sends probes when they are due. Ends when no more are; replies may still come.
  Task<void> run();
  /// Sends no more: finished as soon as nothing is under way.
  void hold();
  /// The run is no longer paused: sends what may be sent now.
  void resume();
  /// Nothing more is counted.
  void finish();
  bool finished() const { return finished_; }
  /// There was no first connection by the deadline.
  void give_up();
  const PingResult& result() const { return result_; }

  // For its connections:

  Reactor& reactor() const { return run_.reactor; }
  const PingOptions& options() const { return run_.options; }
  PingPeer& peer() { return peer_; }
  PingPayload& payload() { return payload_; }
  /// Counts the reply to a probe; `problem` is empty when it is good.
  void replied(std::uint64_t seq, Duration rtt, const std::string& problem);
  void lost(std::uint64_t seq, std::string_view why);
  void late(std::uint64_t seq, Duration rtt);
  void duplicate(std::uint64_t seq, Duration rtt);
  /// This host can't send the last `count` probes that were counted, and sends no more: they are
  /// not the server's loss.
  void cannot_send(std::uint64_t count, std::string_view text);
  void trouble(std::string_view text);
  void detail(std::string_view text);
  /// There is no first connection: this address is done with.
  void unreachable(std::string_view text);
  /// What came is no reply: this address is done with.
  void protocol_broken(std::string_view text);
  /// Replies or losses have been counted: perhaps the next probe is due, or it was the last.
  void progress(PingConnection& connection);
  /// A connection has tried to connect.
  void connection_ready();
  /// How long to wait after trouble, lest the next probe fails in the same way at once.
  Duration pause() const;

 private:
  Task<void> open_connections(std::unique_ptr<ClientConnection> first);
  Task<void> send_when_due();
  Task<void> keep_flooding();
  Task<void> probe_once(std::uint64_t seq, TimePoint due);

  bool closed_loop() const;
  bool has_more() const;
  bool may_send() const { return has_more() && !run_.paused; }
  bool wants_end() const;
  PingConnection* next_connection();
  /// False when nothing can take a probe now.
  bool send(TimePoint due);
  std::uint64_t count_probe();
  void fill(PingConnection& connection);
  void fill_with_connections();
  void settle();

  PingRun& run_;
  PingResult result_;
  PingPeer peer_;
  PingPayload payload_;
  std::vector<std::unique_ptr<PingConnection>> connections_;
  Event connected_;
  std::size_t connecting_ = 0;
  std::size_t next_ = 0;         ///< whose turn it is
  std::size_t limit_;            ///< probes under way on a connection
  std::uint64_t under_way_ = 0;  ///< sent, and neither received nor lost
  TimePoint first_sent_{};
  TimePoint last_sent_{};
  TimePoint last_event_{};
  bool broken_ = false;
  bool cannot_send_ = false;
  bool held_ = false;
  bool finished_ = false;
};

}  // namespace handoff
