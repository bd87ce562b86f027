// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/event.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/rpc/call.hpp>
#include <handoff/rpc/client.hpp>

#include "rpc/client_connection.hpp"
#include "wire/reply.hpp"

namespace handoff {

/// The connection of a client, and the calls that wait for replies on it. One task reads as long as
/// a call waits, and one task writes as long as the socket has no room for all requests.
class Client::Link : public std::enable_shared_from_this<Link> {
 public:
  /// A call that waits for its reply, from send() until it is over or destroyed.
  struct Waiting {
    explicit Waiting(std::shared_ptr<Link> of) : link(std::move(of)), over(link->reactor_) {}
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { link->give_up(*this); }

    std::shared_ptr<Link> link;
    std::uint64_t id = 0;
    std::optional<Result> result;
    Event over;  ///< set when there is a result, the connection has failed, or the deadline has
                 ///< passed
  };

  Link(Reactor& reactor, std::unique_ptr<ClientConnection> connection, std::string name)
      : reactor_(reactor), connection_(std::move(connection)), name_(std::move(name)) {}

  /// Does what Client::call() says. The link lives as long as one of its tasks does.
  static Task<Result> call(std::shared_ptr<Link> self, std::string method, std::string params,
                           TimePoint deadline);
  /// Ends all calls and tasks; the calls throw ConnectionLost. The last task that ends closes the
  /// connection.
  void close();

 private:
  /// Keeps the link alive for one of its tasks, and sets the flag that says that the task exists
  /// until the task has ended or is destroyed, which can happen before its first turn.
  class Running {
   public:
    Running(Link& link, bool Link::*flag) : link_(link.shared_from_this()), flag_(flag) {
      link.*flag = true;
    }
    Running(Running&&) = default;
    Running& operator=(Running&&) = delete;
    ~Running() {
      if (link_) { (*link_).*flag_ = false; }
    }
    Link& link() const { return *link_; }

   private:
    std::shared_ptr<Link> link_;
    bool Link::*flag_;
  };

  static Task<void> read_replies(Running running);
  static Task<void> write_requests(Running running);
  void throw_if_failed() const {
    if (failure_) { std::rethrow_exception(failure_); }
  }
  /// Sends a request, and lists the call. If the connection has failed, throws what has ended it.
  void send(Waiting& call, std::string_view method, std::string_view params);
  void flush();
  void write_failed(IoResult result);
  void deliver_all();
  std::uint64_t id_of(const Reply& reply) const;
  Waiting* take(std::uint64_t id);
  void give_up(const Waiting& call);
  void fail(std::exception_ptr error);
  void end_in_order();

  Reactor& reactor_;
  std::unique_ptr<ClientConnection> connection_;
  std::string name_;
  std::map<std::uint64_t, Waiting*> unanswered_;  ///< by id; null for a call that was given up
  std::size_t waiting_ = 0;                       ///< how many of these were not given up
  std::uint64_t last_id_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  std::optional<IoResult> write_failure_;  ///< a failed write, which the reading task throws after
                                           ///< it has read the replies that have arrived
  /// What every call throws because the connection has failed; null: it has not.
  std::exception_ptr failure_;
};

}  // namespace handoff
