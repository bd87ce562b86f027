// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "async/backoff.hpp"
#include "async/reactor.hpp"
#include "methods/upstream_connection.hpp"
#include "os/address.hpp"
#include "os/status.hpp"
#include "rpc/pending_call.hpp"
#include "wire/limits.hpp"

namespace handoff {

struct UpstreamOptions {
  std::size_t max_connections = 8;    ///< to one server
  std::size_t calls_before_next = 4;  ///< on every connection, before another one is made
  std::size_t max_calls = 128;        ///< on one connection at a time
  std::size_t max_unsent = 4 << 20;   ///< bytes that wait for one connection to take them
  std::uint32_t max_frame = limits::kMaxFrame;
  Duration connect_timeout = std::chrono::seconds(5);
  Duration first_pause = std::chrono::milliseconds(20);  ///< after a connect failed; doubled
  Duration last_pause = std::chrono::seconds(1);         ///< up to this
};

/// Another server that answers methods for us, over a few connections that are kept. Calls are
/// pipelined: each goes out at once with an id, and its reply may come before those of earlier
/// ones. A server that gives no ids back must reply in order; one that replies without a call loses
/// the connection, lest that is taken for the reply to the next call.
///
/// - No call waits longer than its deadline. What comes for it later is dropped.
/// - While the server can't be connected to, calls fail at once (`unreachable`); from time to time
///   one of them tries again.
/// - A connection that ends takes its calls with it (`worker_died`): they may have been run.
/// - A connection on which a deadline passed in silence, or on which the server has refused to read
///   on, gets no more calls, and ends with the last of those that it has.
class Upstream final : public CallExecutor, private UpstreamConnection::Owner {
 public:
  /// The reactor must outlive this object.
  Upstream(Reactor& reactor, Address address, UpstreamOptions options = {});
  /// The same for a server that `connect` connects to; `name` stands in messages.
  Upstream(Reactor& reactor, std::string name, ConnectUpstream connect, UpstreamOptions options);
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;
  ~Upstream() override;

  // CallExecutor: has the server run the call. Its errors come back as they are.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  void cancel(PendingCall& call) override;

 private:
  /// Why no connection takes a call.
  struct Refusal {
    ErrorCode code{};
    std::string message;
  };

  bool fits(const CallView& call) const;
  void begin_on_connection(PendingCall& call, UpstreamAttempt attempt);
  /// Gives a connection that takes one more call, which may be new; else null and why.
  UpstreamConnection* find_connection(Refusal& refusal);
  UpstreamConnection& add_connection();
  /// The one on which the call waits, if it does.
  UpstreamConnection* connection_of(const PendingCall& call) const;

  void connected() override;
  void connect_failed(const std::string& why) override;
  void closed(const UpstreamConnection& connection) override;
  void nothing_sent(PendingCall& call) override;
  void id_given_back() override { gives_ids_back_ = true; }
  bool gives_ids_back() const override { return gives_ids_back_; }

  Reactor& reactor_;
  std::string name_;
  ConnectUpstream connect_;
  UpstreamOptions options_;
  std::vector<std::shared_ptr<UpstreamConnection>> connections_;
  Status reachable_ = Status::ok();  ///< whether the last attempt to connect has succeeded
  bool gives_ids_back_ = false;
  Backoff backoff_;
  TimePoint next_attempt_{};
};

}  // namespace handoff
