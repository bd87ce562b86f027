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

/// The connection of a client, and the calls that wait for replies on it. One task reads for as
/// long as a call waits, and one writes for as long as the socket has no room for all requests.
class Client::Link : public std::enable_shared_from_this<Link> {
 public:
  /// A call that waits, from send() until it is over or destroyed.
  struct Waiting {
    explicit Waiting(std::shared_ptr<Link> of) : link(std::move(of)), over(link->reactor_) {}
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() { link->give_up(*this); }

    std::shared_ptr<Link> link;
    std::uint64_t id = 0;
    std::optional<Result> result;
    Event over;  ///< there is a result, the connection has failed, or the deadline has passed
  };

  Link(Reactor& reactor, std::unique_ptr<ClientConnection> connection, std::string name)
      : reactor_(reactor), connection_(std::move(connection)), name_(std::move(name)) {}

  /// Client::call(). The link lives for as long as one of its tasks does.
  static Task<Result> call(std::shared_ptr<Link> self, std::string method, std::string params,
                           TimePoint deadline);
  /// Ends all calls and tasks. The connection is closed with the last of them.
  void close();

 private:
  /// Keeps the connection for one of its tasks, and says that the task exists until it has ended or
  /// is destroyed, which can be before its first turn.
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
  /// Sends a request, and lists the call. Throws what has ended the connection, if it has ended.
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
  std::size_t waiting_ = 0;                       ///< of those, the calls that were not
  std::uint64_t last_id_ = 0;
  bool reading_ = false;
  bool writing_ = false;
  std::optional<IoResult> write_failure_;  ///< for the task that reads: replies may have arrived
  std::exception_ptr failure_;             ///< why the connection can't be used any more
};

}  // namespace handoff
