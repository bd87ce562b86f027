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

/// Connects to one certain server. Throws what ClientConnection::connect() throws.
using ConnectUpstream = std::function<Task<std::unique_ptr<ClientConnection>>()>;

/// One connection to an upstream server, from the attempt to connect on. Calls are pipelined: each
/// is sent with an id, and all that were begun in one turn of the loop with one write. The
/// connection is shared with the coroutines that work on it, which end when it is closed. Used on
/// the reactor's thread only.
class UpstreamConnection : public std::enable_shared_from_this<UpstreamConnection> {
 public:
  /// The owner of the connections to a server.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// One of these is called when the attempt to connect has ended. `why` is one line.
    virtual void connected(const UpstreamConnection& connection) = 0;
    virtual void connect_failed(const std::string& why) = 0;
    /// Called when the deadline of a call has passed and nothing has arrived since it was sent, for
    /// the first time on this connection.
    virtual void fell_silent() = 0;
    /// Called when something has arrived.
    virtual void answered() = 0;
    /// Called when the server has not run this call: nothing of it was sent at its first attempt,
    /// or the server shuts down and says so. The owner begins the call on another connection, or
    /// finishes it.
    virtual void not_run(PendingCall& call) = 0;
    /// Called with a call that has waited for the connection, which can't be made: the owner begins
    /// the call elsewhere, or finishes it with `why`.
    virtual void not_connected(PendingCall& call, const std::string& why) = 0;
    /// Called when the connection is closed and has no more calls: the owner is to forget it.
    virtual void closed(const UpstreamConnection& connection) = 0;
    /// Called when the server has said that it shuts down.
    virtual void shuts_down() = 0;
    /// Called when the server has sent back the id of a request for the first time on this
    /// connection.
    virtual void id_given_back() = 0;
    /// Returns whether the server has done so on any connection.
    virtual bool gives_ids_back() const = 0;
  };

  /// `name` is that of the server, and `max_calls` the most calls that may wait at a time. The
  /// reactor must outlive this object, and so must the owner unless abandon() is called.
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
  /// Returns the number of calls that wait on this connection.
  std::size_t calls() const { return calls_.size(); }
  /// Returns the number of bytes that the server has not taken yet.
  std::size_t unsent() const { return client_ ? client_->queued() : 0; }

  /// Sends the call at the end of the turn, or once the connection is made. Finishes the call with
  /// its reply or with the reason why there is none, or gives it back by Owner::not_run(); either
  /// may happen before this returns. Call it only if takes_calls(), and with fewer than `max_calls`
  /// calls.
  void begin(PendingCall& call, UpstreamAttempt attempt);
  /// Returns whether the call waits on this connection.
  bool has(const PendingCall& call) { return find(call) != nullptr; }
  /// Finishes a call that waits here and whose deadline has passed.
  void time_out(PendingCall& call);
  /// Takes no more calls, and closes with the last of those that wait.
  void retire();
  /// Forgets a call that waits here; its reply is dropped.
  void cancel(PendingCall& call);
  /// Says that the owner is being destroyed: every call that waits gets an error, and the
  /// connection ends.
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
  void shuts_down();
  void deliver_all();
  std::optional<std::uint64_t> id_of(const Reply& reply);
  std::string unasked() const;
  std::string too_late() const;
  void use(std::unique_ptr<ClientConnection> client);
  static Task<void> connect_and_receive(std::shared_ptr<UpstreamConnection> self,
                                        ConnectUpstream connect);
  static Task<void> receive_all(std::shared_ptr<UpstreamConnection> self);
  static Task<void> send_all(std::shared_ptr<UpstreamConnection> self);

  Owner* owner_;  ///< null once it is abandoned
  Reactor& reactor_;
  std::string name_;
  UpstreamPhase phase_ = UpstreamPhase::connecting;
  std::unique_ptr<ClientConnection> client_;  ///< null while it connects
  UpstreamCalls calls_;
  /// The ids of the calls in their order, as long as no reply has had an id.
  std::deque<std::uint64_t> order_;
  /// An error that the server has sent for no call in particular.
  std::optional<std::string> complaint_;
  ErrorCode failure_{};  ///< what the calls get that wait when the connection is closed
  std::string failure_message_;
  Event some_unsent_;
  std::uint64_t reads_ = 0;     ///< the number of reads that have brought something
  bool ids_come_back_ = false;  ///< whether a reply on this connection has had an id
};

}  // namespace handoff
