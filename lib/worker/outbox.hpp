// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "async/event.hpp"
#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "pass/connection.hpp"
#include "pass/fd_passing.hpp"
#include "worker/connection_returner.hpp"
#include "worker/id_reports.hpp"

namespace handoff {

/// What a worker has to tell its master: messages in their order, then the connections that it has
/// started, returns and has finished, several in a message.
class Outbox {
 public:
  /// What it needs of its channel, and what it tells. They may call everything but run().
  struct Owner {
    /// Sends one message now, or tells why not.
    std::function<SendResult(const std::string& message, std::span<const int> descriptors)> send;
    /// Whether the master has read everything that was sent.
    std::function<bool()> has_been_read;
    /// The message that says that these are started is dealt with: sent, or `outcome` says why not.
    std::function<void(std::vector<Connection> started, SendOutcome outcome)> announced;
    /// A connection has ended instead of going back: no file holds its bytes, or it can't be sent.
    std::function<void(const Connection& connection, int error)> not_spilled;
    std::function<void(const Connection& connection, int error)> not_sent;
    std::function<void()> all_sent;
  };
  /// The watcher is that of the channel, and must outlive this.
  Outbox(Reactor& reactor, FdWatcher& channel, Owner owner);

  /// Sends what is added, until stop(). The task keeps `alive`, which owns `self`.
  static Task<void> run(Outbox& self, std::shared_ptr<void> alive);
  void stop();

  /// A message to be sent, at once if nothing is before it, and the connections that it announces.
  void post(std::string message, std::vector<Connection> announces = {});
  /// The same, after all that was started and finished, as far as the channel takes it now.
  void post_after_reports(std::string message);
  void started(std::uint64_t id) { reports_.started(id); }
  void finished(std::uint64_t id, IdReports::Urgency urgency = IdReports::Urgency::soon) {
    reports_.finished(id, urgency);
  }
  void give_back(Connection connection);
  /// A copy of a connection that stays. The master gets it before it hears of the connection's end.
  void deposit(Connection copy);
  /// See IdReports.
  void report_immediately() { reports_.report_immediately(); }

  /// Whether everything was sent.
  bool is_idle() const { return state_ == State::idle && reports_.is_empty(); }

 private:
  enum class State {
    idle,     ///< everything was sent
    pending,  ///< run() is to send, or waits until it can
    stopped,
  };
  /// How far one attempt to send everything has come.
  enum class Sent {
    all,
    blocked,  ///< the channel is full, or descriptors are short
    unread,   ///< the master has not read what was returned last
  };
  /// A message to be sent, and the connections that may be begun then.
  struct Outgoing {
    std::string message;
    std::vector<Connection> announces;
  };

  void wake();
  Sent send_all();
  bool send_posted();
  bool send_now(const std::string& message);
  ConnectionReturner::Owner owner_of_returner();
  ConnectionReturner::Owner owner_of_depositor();

  Reactor& reactor_;
  FdWatcher& channel_;
  Owner owner_;
  State state_ = State::idle;
  std::deque<Outgoing> posted_;
  IdReports reports_;
  ConnectionReturner depositor_;
  ConnectionReturner returner_;
  Event some_to_send_;
};

}  // namespace handoff
