// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "async/event.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "methods/upstream_phase.hpp"
#include "rpc/client.hpp"
#include "rpc/method_table.hpp"

namespace handoff {

/// Makes a connection to one certain server. Throws what Client::connect() does.
using ConnectUpstream = std::function<Task<std::unique_ptr<Client>>()>;

/// One connection to another server, from the attempt to make it on. Calls are pipelined on it:
/// each goes out at once with an id. Shared with the coroutines that work on it; once it is closed
/// they end.
class UpstreamConnection : public std::enable_shared_from_this<UpstreamConnection> {
 public:
  /// Who has the connections to a server.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void connected() = 0;
    virtual void connect_failed(const std::string& why) = 0;
    /// The connection gets no more calls, and is to be forgotten.
    virtual void closed(const UpstreamConnection& connection) = 0;
    /// The server has given back the id of a request.
    virtual void id_given_back() = 0;
    /// Whether it has done so on any connection.
    virtual bool gives_ids_back() const = 0;
  };

  /// `name` is that of the server. The reactor must outlive this object, and the owner too unless
  /// abandon() is called.
  UpstreamConnection(Reactor& reactor, Owner& owner, std::string name);

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
  std::size_t calls() const { return pending_.size(); }
  /// Bytes that the server has not taken yet.
  std::size_t unsent() const { return client_ ? client_->queued() : 0; }

  struct Outcome {
    /// Whether the call may be made again elsewhere: nothing of it has been sent.
    enum class Sent { nothing, maybe_all };
    Result result;
    Sent sent = Sent::maybe_all;
  };
  /// Sends the call, which must outlive the task, and waits for its reply, at most until its
  /// deadline. Only while takes_calls().
  Task<Outcome> call(const Call& call);
  /// The owner goes: every call that waits gets an error, and the connection ends.
  void abandon();

 private:
  struct PendingCall;

  void handle(UpstreamEvent event);
  void enter(UpstreamPhase next);
  void fail(ErrorCode code, const std::string& message);
  void drop_unusable_connection(PendingCall& pending);
  void send(PendingCall& pending, const Call& call);
  void settle_all();
  void deliver(const Reply& reply);
  std::optional<std::uint64_t> id_of(const Reply& reply);
  std::string unasked() const;
  static Task<void> connect_and_receive(std::shared_ptr<UpstreamConnection> self,
                                        ConnectUpstream connect);
  static Task<void> receive_all(std::shared_ptr<UpstreamConnection> self);
  static Task<void> send_all(std::shared_ptr<UpstreamConnection> self);

  Owner* owner_;  ///< none once it is abandoned
  Reactor& reactor_;
  std::string name_;
  UpstreamPhase phase_ = UpstreamPhase::connecting;
  std::unique_ptr<Client> client_;  ///< none while it connects
  std::map<std::uint64_t, PendingCall*> pending_;
  std::deque<std::uint64_t> order_;       ///< of the calls, as long as no reply has had an id
  std::optional<std::string> complaint_;  ///< what the server said about no call
  Result failure_;                        ///< what the calls get that wait when it is closed
  Event some_unsent_;
  std::uint64_t last_id_ = 0;
  bool ids_come_back_ = false;  ///< a reply here has had an id
};

}  // namespace handoff
