// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

#include "methods/upstream_calls.hpp"
#include "methods/upstream_phase.hpp"
#include "rpc/client_connection.hpp"
#include "rpc/pending_call.hpp"

namespace handoff {

/// Makes a connection to one certain server. Throws what ClientConnection::connect() does.
using ConnectUpstream = std::function<Task<std::unique_ptr<ClientConnection>>()>;

/// One connection to another server, from the attempt to make it on. Calls are pipelined on it:
/// each goes out with an id, all that were begun in one turn of the loop in one write. Shared with
/// the coroutines that work on it; once it is closed they end.
class UpstreamConnection : public std::enable_shared_from_this<UpstreamConnection> {
 public:
  /// Who has the connections to a server.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void connected() = 0;
    virtual void connect_failed(const std::string& why) = 0;
    /// The server has not run this call: nothing of it was sent at its first attempt, or the server
    /// shuts down and says so. The owner begins it on another connection, or finishes it.
    virtual void not_run(PendingCall& call) = 0;
    /// The connection has no more calls, and is to be forgotten.
    virtual void closed(const UpstreamConnection& connection) = 0;
    /// The server has given back the id of a request.
    virtual void id_given_back() = 0;
    /// Whether it has done so on any connection.
    virtual bool gives_ids_back() const = 0;
  };

  /// `name` is that of the server, and `max_calls` how many calls may wait at a time. The reactor
  /// must outlive this object, and the owner too unless abandon() is called.
  UpstreamConnection(Reactor& reactor, Owner& owner, std::string name, std::size_t max_calls);

  /// Begins to connect.
  void start(ConnectUpstream connect) {
    reactor_.spawn(connect_and_receive(shared_from_this(), std::move(connect)));
  }

  UpstreamPhase phase() const { return phase_; }
  bool is_connecting() const {
    return phase_ == UpstreamPhase::connecting || phase_ == UpstreamPhase::connecting_last;
  }
  bool takes_calls() const {
    return phase_ == UpstreamPhase::connecting || phase_ == UpstreamPhase::open;
  }
  /// Calls that wait on it.
  std::size_t calls() const { return calls_.size(); }
  /// Bytes that the server has not taken yet.
  std::size_t unsent() const { return client_ ? client_->queued() : 0; }

  /// Sends the call at the end of the turn, or once it is connected, and finishes it with the reply
  /// or with why there is none; or gives it back by not_run(). Either may happen before this
  /// returns. Only while takes_calls(), and with fewer calls than `max_calls`.
  void begin(PendingCall& call, UpstreamAttempt attempt);
  /// Whether the call waits here.
  bool has(const PendingCall& call) { return find(call) != nullptr; }
  /// Finishes a call that waits here: its deadline has passed.
  void time_out(PendingCall& call);
  /// Forgets a call that waits here. Its reply is dropped.
  void cancel(PendingCall& call);
  /// The owner goes: every call that waits gets an error, and the connection ends.
  void abandon();

 private:
  using Waiting = UpstreamCalls::Waiting;

  void handle(UpstreamEvent event);
  void enter(UpstreamPhase next);
  void fail(ErrorCode code, std::string message);
  const Waiting* find(const PendingCall& call);
  PendingCall& take(const Waiting& waiting);
  void send_or_finish(Waiting& waiting);
  void send(Waiting& waiting);
  bool is_unusable();
  void finish_all();
  void deliver(const Reply& reply);
  void finish(const Waiting& waiting, const Reply& reply);
  void deliver_all();
  std::optional<std::uint64_t> id_of(const Reply& reply);
  std::string unasked() const;
  std::string too_late() const;
  void use(std::unique_ptr<ClientConnection> client);
  static Task<void> connect_and_receive(std::shared_ptr<UpstreamConnection> self,
                                        ConnectUpstream connect);
  static Task<void> receive_all(std::shared_ptr<UpstreamConnection> self);
  static Task<void> send_all(std::shared_ptr<UpstreamConnection> self);

  Owner* owner_;  ///< none once it is abandoned
  Reactor& reactor_;
  std::string name_;
  UpstreamPhase phase_ = UpstreamPhase::connecting;
  std::unique_ptr<ClientConnection> client_;  ///< none while it connects
  UpstreamCalls calls_;
  std::deque<std::uint64_t> order_;       ///< of the calls, as long as no reply has had an id
  std::optional<std::string> complaint_;  ///< what the server said about no call
  ErrorCode failure_{};                   ///< what the calls get that wait when it is closed
  std::string failure_message_;
  Event some_unsent_;
  std::uint64_t reads_ = 0;     ///< that have brought something
  bool ids_come_back_ = false;  ///< a reply here has had an id
};

}  // namespace handoff
