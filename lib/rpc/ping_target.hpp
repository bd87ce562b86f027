// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "rpc/client.hpp"
#include "rpc/ping.hpp"
#include "rpc/ping_connection.hpp"

namespace handoff {

/// One address of a pinger: decides when a probe is due, gives it to a connection, and counts what
/// becomes of it.
class PingTarget {
 public:
  /// `run` must outlive it.
  PingTarget(Pinger::Run& run, Address address);
  PingTarget(const PingTarget&) = delete;
  PingTarget& operator=(const PingTarget&) = delete;

  /// Connects, then sends probes when they are due. Ends when no more are; replies may still come.
  Task<void> run();
  /// Sends no more: finished as soon as nothing is under way.
  void hold();
  /// Nothing more is counted.
  void finish();
  bool finished() const { return finished_; }
  /// Says why there is no first connection yet, and that there will be none.
  void give_up();
  const PingResult& result() const { return result_; }

  // For its connections:

  Reactor& reactor() const { return run_.reactor; }
  const PingOptions& options() const { return run_.options; }
  /// A new connection to the address; throws as Client::connect.
  Task<std::unique_ptr<Client>> connect(TimePoint deadline);
  /// What a probe carries, as JSON. Valid until the next call.
  std::string_view params(std::uint64_t seq);
  /// Counts the reply to a probe.
  void replied(std::uint64_t seq, Duration rtt, const Reply& reply);
  void lost(std::uint64_t seq, std::string_view why);
  void late(std::uint64_t seq, Duration rtt);
  void trouble(std::string_view text) { run_.observer.on_trouble(text); }
  void detail(std::string_view text) { run_.observer.on_detail(text); }
  /// What came is no reply: this address is done with.
  void protocol_broken(std::string_view text);
  /// Replies or losses have been counted: perhaps the next probe is due, or it was the last.
  void progress(PingConnection* connection);
  void connection_ready();
  bool closed_loop() const;
  /// How long a closed loop waits after trouble before it tries again.
  Duration pause() const;

 private:
  Task<void> reach();
  Task<void> try_first_connection();
  Task<void> open_connections();
  Task<void> send_when_due();
  Task<void> keep_flooding();
  Task<void> probe_once(std::uint64_t seq, TimePoint due);

  bool may_send() const;
  bool wants_end() const;
  /// False when nothing can take a probe now.
  bool send(TimePoint due, PingConnection* connection);
  void fill(PingConnection* connection);
  PingConnection* next_connection();
  std::string problem_of(const Reply& reply, std::uint64_t seq);
  void settle();

  Pinger::Run& run_;
  Address address_;
  PingResult result_;
  std::unique_ptr<Client> first_client_;
  std::vector<std::unique_ptr<PingConnection>> connections_;
  Event connected_;
  std::size_t connecting_ = 0;
  std::size_t next_ = 0;          ///< whose turn it is
  std::size_t limit_;             ///< probes under way on a connection
  std::uint64_t under_way_ = 0;   ///< sent, and neither received nor lost
  std::string params_;            ///< a JSON string that starts with the number of a probe
  std::string why_not_up_;        ///< the last failure of the first connection
  TimePoint first_sent_{};
  TimePoint last_sent_{};
  TimePoint last_event_{};
  bool pinned_ = false;           ///< address_ is that of the first connection
  bool used_up_ = false;          ///< a descriptor can be connected to once
  bool reached_ = false;          ///< there was a connection
  bool broken_ = false;
  bool held_ = false;
  bool finished_ = false;
};

}  // namespace handoff
