// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/condition.hpp"
#include "async/fd_watcher.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "async/time_limit.hpp"
#include "cli/stderr_log.hpp"
#include "commands/rendezvous_options.hpp"
#include "os/address.hpp"
#include "os/error.hpp"
#include "os/listener.hpp"
#include "os/peer.hpp"
#include "os/socket.hpp"

/// How fdsend and fdrecv meet: either of them may listen while the other connects.
namespace handoff {

/// Meets the other side and returns the connections to it. One that listens checks the user of each
/// peer that connects, and one that connects checks the user of the listener: only the own user,
/// root and `allowed_uids` are admitted.
class Rendezvous {
 public:
  /// Binds the socket if it is to listen, and then throws what listen_on() throws. The deadline
  /// counts from now. The reactor and `log` must outlive this object.
  Rendezvous(Reactor& reactor, RendezvousOptions options, StderrLog& log);
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  /// Returns the deadline of everything; kNever without a time-out.
  TimePoint deadline() const { return deadline_; }
  /// Returns the deadline with its length.
  TimeLimit limit() const { return {deadline_, options_.timeout}; }
  /// Returns the socket as the user wrote it.
  const std::string& name() const { return options_.socket.text; }
  /// Returns whether this side accepts connections.
  bool listens() const { return listener_.has_value() || accepts_; }

  /// Returns the next connection, which the caller then owns. This side accepts the next peer that
  /// is admitted; if it connects or was given a connected descriptor, there is only one connection,
  /// and the second call returns nothing. Returns nothing after stop(). Throws Unreachable,
  /// TimedOut at the deadline, InvalidArgument or SystemError. This object must outlive the task.
  Task<std::optional<Fd>> next();
  /// Ends the wait of next(), which returns nothing from now on.
  void stop();

 private:
  /// Accepts until a peer is admitted.
  Task<std::optional<Fd>> accept();
  /// Returns the error for a deadline that has passed without a connection.
  TimedOut timed_out() const;
  Task<bool> wait_for_client();
  /// Waits a moment before the next attempt to accept. Throws TimedOut at the deadline.
  Task<void> pause();
  /// Accepts once, without blocking even if the listener is a blocking one.
  Accepted try_to_accept() const;
  /// Connects, with as many attempts as the options allow.
  Task<Fd> connect();
  /// Returns whether the peer is admitted; a refusal is logged.
  bool admits(int connection);
  /// Returns whether the peer is admitted; if its user cannot be found out, it is not.
  bool is_welcome(int connection);
  /// Throws Unreachable if the user that listens is not admitted.
  void check_listener(int socket) const;
  /// Returns the descriptor of the listener, which was made here or inherited.
  int listening_fd() const { return accepts_ ? options_.socket.number : listener_->fd(); }

  Reactor& reactor_;
  RendezvousOptions options_;
  StderrLog& log_;
  PeerJudge judge_;
  LimitedLine report_refused_;
  TimePoint deadline_;
  Condition changed_;  ///< is notified when `stopped_` is set
  std::optional<Listener> listener_;
  std::optional<FdWatcher> watcher_;
  bool accepts_ = false;  ///< the descriptor that the user has given is a listener
  bool used_ = false;     ///< the only connection was returned
  bool stopped_ = false;
};

}  // namespace handoff
