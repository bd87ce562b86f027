// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/wire/limits.hpp>

#include "async/backoff.hpp"
#include "methods/upstream_connection.hpp"
#include "os/status.hpp"
#include "rpc/pending_call.hpp"

namespace handoff {

/// How calls are spread over connections to one server.
struct UpstreamOptions {
  std::size_t max_connections = 8;    ///< connections to one server
  std::size_t calls_before_next = 4;  ///< calls on every connection before another one is made
  std::size_t max_calls = 128;        ///< calls on one connection at a time
  std::size_t max_unsent = 4 << 20;   ///< bytes that wait until one connection takes them
  std::uint32_t max_frame = limits::kMaxFrame;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration first_pause = std::chrono::milliseconds(
      20);  ///< the pause after a failed connect; doubled after each further one
  Duration last_pause = std::chrono::seconds(1);  ///< the longest such pause
};

/// Another server, which answers calls for this one, over a few connections that are kept. Calls
/// are pipelined: each goes out at once with an id, and its reply may arrive before those of
/// earlier calls. A server that does not repeat ids must reply in order; one that replies without a
/// call loses the connection, because the reply could be taken for that to the next call.
///
/// - No call waits longer than its deadline. A reply that arrives later is dropped.
/// - While no connection can be made, calls fail at once (`unreachable`); from time to time one of
///   them tries again.
/// - The calls of a connection that ends fail with it (`worker_died`): the server may have run
///   them.
/// - A connection on which a deadline passed in silence, or on which the server has refused to read
///   on, gets no more calls, and ends with the last of those that it has.
///
/// One reactor uses it, on its thread.
class Upstream final : public CallExecutor, private UpstreamConnection::Owner {
 public:
  /// Connects to `address` when there is a first call. The reactor must outlive this object.
  Upstream(Reactor& reactor, Address address, UpstreamOptions options = {});
  /// Does the same with a server that `connect` connects to; `name` stands for the server in
  /// messages.
  Upstream(Reactor& reactor, std::string name, ConnectUpstream connect, UpstreamOptions options);
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;
  /// Finishes the calls that wait with an error, and closes the connections.
  ~Upstream() override;

  // The functions of CallExecutor: the server runs the call, and its errors are passed on
  // unchanged.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  void cancel(PendingCall& call) override;

  /// A function that takes a call that this server has not run, and returns false if it does not.
  using Elsewhere = std::function<bool(PendingCall& call)>;
  /// Offers calls that this server has not run to another one, before they are begun here again, or
  /// fail.
  void set_elsewhere(Elsewhere elsewhere) { elsewhere_ = std::move(elsewhere); }
  /// Begins a call that another server has not run. It is sent on one connection, and not on a
  /// further one if that has been closed before.
  void begin_again(PendingCall& call) { begin_on_connection(call, UpstreamAttempt::last); }
  /// Does the same if an attempt to connect is under way, for which the call waits. Returns whether
  /// one is.
  bool begin_with_attempt(PendingCall& call);
  /// Returns whether the last attempt to connect has not failed.
  bool is_reachable() const { return reachable_.is_ok(); }
  /// Returns whether the server can be expected to answer: it is reachable and not silent, and has
  /// not said a moment ago that it shuts down.
  bool is_up() const { return is_reachable() && !is_silent_ && reactor_.now() >= up_from_; }
  /// Returns whether it is time for another attempt to connect to a server that is not reachable,
  /// or silent.
  bool may_try() const;
  /// Begins such an attempt, which no call waits for, if it is time.
  void look_again();
  /// Returns the number of calls that wait.
  std::size_t calls() const;
  /// Returns whether the call waits here.
  bool has(const PendingCall& call) const { return connection_of(call) != nullptr; }

 private:
  /// Why no connection accepts a call.
  struct Refusal {
    ErrorCode code{};
    std::string message;
  };

  /// Returns whether the request fits into a frame.
  bool fits(const CallView& call) const;
  void begin_on_connection(PendingCall& call, UpstreamAttempt attempt);
  /// Returns a connection that accepts one more call, and that may be new. Otherwise returns null
  /// and sets `refusal`.
  UpstreamConnection* find_connection(Refusal& refusal);
  UpstreamConnection& add_connection();
  /// Returns the connection on which the call waits, or null.
  UpstreamConnection* connection_of(const PendingCall& call) const;

  void connected(const UpstreamConnection& connection) override;
  void connect_failed(const std::string& why) override;
  void fell_silent() override;
  void answered() override { silence_.reset(); }
  void closed(const UpstreamConnection& connection) override;
  void not_run(PendingCall& call) override;
  void not_connected(PendingCall& call, const std::string& why) override;
  void shuts_down() override { up_from_ = reactor_.now() + options_.last_pause; }
  void id_given_back() override { gives_ids_back_ = true; }
  bool gives_ids_back() const override { return gives_ids_back_; }

  Reactor& reactor_;
  std::string name_;
  ConnectUpstream connect_;
  UpstreamOptions options_;
  std::vector<std::shared_ptr<UpstreamConnection>> connections_;
  Status reachable_ = Status::ok();  ///< whether the last attempt to connect succeeded, and why not
  bool is_silent_ = false;  ///< a deadline has passed in silence, and no connection was made since
  bool gives_ids_back_ = false;
  Backoff backoff_;
  Backoff silence_;  ///< the pauses of a server that lets deadlines pass, though it can be reached
  TimePoint next_attempt_{};
  TimePoint up_from_{};  ///< until then other servers are asked, because this one shuts down
  Elsewhere elsewhere_;
};

}  // namespace handoff
