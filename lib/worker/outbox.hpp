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

/// Sends what a worker has to tell its master: messages in their order, and then the connections
/// that it has started, returns and has finished, several in a message.
class Outbox {
 public:
  /// The functions through which it uses its channel and reports. They may call everything but
  /// run(). All must be set.
  struct Owner {
    /// Sends one message now without blocking, or returns why it was not sent.
    std::function<SendResult(const std::string& message, std::span<const int> descriptors)> send;
    /// Returns whether the master has read everything that was sent.
    std::function<bool()> has_been_read;
    /// Called when the message that announces these connections was sent, or `outcome` says why
    /// not.
    std::function<void(std::vector<Connection> started, SendOutcome outcome)> announced;
    /// These are called when a connection was closed instead of returned: no file can hold its
    /// bytes, or it cannot be sent. `error` is an errno.
    std::function<void(const Connection& connection, int error)> not_spilled;
    std::function<void(const Connection& connection, int error)> not_sent;
    /// Called each time that everything was sent.
    std::function<void()> all_sent;
  };
  /// `channel` is the watcher of the channel. It and the reactor must outlive this object.
  Outbox(Reactor& reactor, FdWatcher& channel, Owner owner);

  /// Sends what is added, until stop(). The task keeps `alive`, which owns `self`.
  static Task<void> run(Outbox& self, std::shared_ptr<void> alive);
  /// Ends run(); nothing more is sent.
  void stop();

  /// Sends a message after those before it, at once if there are none. `announces` are the
  /// connections that it announces; Owner::announced is given them.
  void post(std::string message, std::vector<Connection> announces = {});
  /// Sends a message after all reports of connections that were started and finished, as far as the
  /// channel has room for these now.
  void post_after_reports(std::string message);
  /// Reports that a connection was started or has ended; see IdReports.
  void started(std::uint64_t id) { reports_.started(id); }
  void finished(std::uint64_t id, IdReports::Urgency urgency = IdReports::Urgency::soon) {
    reports_.finished(id, urgency);
  }
  /// Takes over a connection, and sends it back to the master.
  void give_back(Connection connection);
  /// Sends the master a copy of a connection that stays here. The master gets it before it learns
  /// of the connection's end.
  void deposit(Connection copy);
  /// Ends the gathering of reports; see IdReports.
  void report_immediately() { reports_.report_immediately(); }

  /// Returns whether everything was sent.
  bool is_idle() const { return state_ == State::idle && reports_.is_empty(); }

 private:
  enum class State {
    idle,     ///< everything was sent
    pending,  ///< run() has something to send, or waits until it can
    stopped,
  };
  /// How an attempt to send everything ended.
  enum class Sent {
    all,
    blocked,  ///< the channel is full, or there are too few descriptors
    unread,   ///< the master has not read what was returned last
  };
  /// A message to send, and the connections that may begin after it.
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
