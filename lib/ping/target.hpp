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
#include "rpc/client.hpp"

namespace handoff {

/// One address of a pinger. It decides when a probe is due, gives the probe to a connection, and
/// counts the outcome.
class PingTarget {
 public:
  /// `run` must outlive this object.
  PingTarget(PingRun& run, Address address);
  PingTarget(const PingTarget&) = delete;
  PingTarget& operator=(const PingTarget&) = delete;

  /// Connects, and then sends probes when they are due. It ends when no more are due; replies may
  /// still arrive. This object must outlive the task. Failures are reported to the observer.
  Task<void> run();
  /// Sends no more probes; the target finishes as soon as none is under way.
  void hold();
  /// Sends what may be sent now that the run is no longer paused.
  void resume();
  /// Ends the target with a verdict: nothing more is counted or reported.
  void finish();
  bool finished() const { return finished_; }
  /// Finishes the target because there was no first connection by the deadline.
  void give_up();
  const PingResult& result() const { return result_; }

  // Only the target's connections call what follows.

  Reactor& reactor() const { return run_.reactor; }
  const PingOptions& options() const { return run_.options; }
  PingPeer& peer() { return peer_; }
  PingPayload& payload() { return payload_; }
  /// Counts the reply to a probe; `problem` is empty if the reply is right.
  void replied(std::uint64_t seq, Duration rtt, const std::string& problem);
  /// Counts a probe as lost.
  void lost(std::uint64_t seq, std::string_view why);
  /// Counts a reply that arrived late, or once more.
  void late(std::uint64_t seq, Duration rtt);
  void duplicate(std::uint64_t seq, Duration rtt);
  /// Takes back the last `count` probes, which this host cannot send, and sends no more: they are
  /// not the server's loss.
  void cannot_send(std::uint64_t count, std::string_view text);
  /// Passes a message on to the observer.
  void trouble(std::string_view text);
  void detail(std::string_view text);
  /// Finishes the target because there is no first connection.
  void unreachable(std::string_view text);
  /// Finishes the target because something other than a reply arrived.
  void protocol_broken(std::string_view text);
  /// Called by a connection after it has counted replies or losses: the next probe may be due, or
  /// the last one may be over.
  void progress(PingConnection& connection);
  /// Called by each connection once, after its first attempt to connect.
  void connection_ready();
  /// Returns how long a connection waits after a failure, so that the next probe does not fail in
  /// the same way at once.
  Duration pause() const;

 private:
  /// Starts the connections and waits until each has tried to connect. The first one gets `first`.
  Task<void> open_connections(std::unique_ptr<Client> first);
  /// Sends probes at a fixed pace.
  Task<void> send_when_due();
  /// Sends a probe whenever a flood has paused for too long.
  Task<void> keep_flooding();
  /// Sends one probe on a connection of its own.
  Task<void> probe_once(std::uint64_t seq, TimePoint due);

  /// Returns whether the pace sends the next probe when one is answered or lost.
  bool closed_loop() const;
  /// Returns whether more probes are wanted, and whether the target has reached its end.
  bool has_more() const;
  bool may_send() const { return has_more() && !run_.paused; }
  bool wants_end() const;
  /// Returns the next connection that can take a probe, or null.
  PingConnection* next_connection();
  /// Sends the probe that was due at `due`. Returns false if no connection can take it now.
  bool send(TimePoint due);
  /// Counts a probe as sent, and returns its number.
  std::uint64_t count_probe();
  /// Sends as many probes as a closed loop allows.
  void fill(PingConnection& connection);
  void fill_with_connections();
  /// Finishes the target if it has reached its end.
  void settle();

  PingRun& run_;
  PingResult result_;
  PingPeer peer_;
  PingPayload payload_;
  std::vector<std::unique_ptr<PingConnection>> connections_;
  Event connected_;
  std::size_t connecting_ = 0;
  std::size_t next_ = 0;         ///< the index of the connection whose turn it is
  std::size_t limit_;            ///< most probes under way on a connection
  std::uint64_t under_way_ = 0;  ///< probes that are sent and neither received nor lost
  TimePoint first_sent_{};
  TimePoint last_sent_{};
  TimePoint last_event_{};
  bool broken_ = false;
  bool cannot_send_ = false;
  bool held_ = false;
  bool finished_ = false;
};

}  // namespace handoff
