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

/// How fdsend and fdrecv meet: either may be the one that listens.
namespace handoff {

/// Meets the other side, and gives each connection to it.
class Rendezvous {
 public:
  /// Binds when it is to listen: throws what listen_on throws.
  Rendezvous(Reactor& reactor, RendezvousOptions options, StderrLog& log);
  Rendezvous(const Rendezvous&) = delete;
  Rendezvous& operator=(const Rendezvous&) = delete;

  /// kNever without a timeout.
  TimePoint deadline() const { return deadline_; }
  /// The deadline, with its length.
  TimeLimit limit() const { return {deadline_, options_.timeout}; }
  /// The socket as the user wrote it.
  const std::string& name() const { return options_.socket.text; }
  bool listens() const { return listener_.has_value() || accepts_; }

  /// The next connection to the other side: the only one when it connects or has a descriptor
  /// (then nothing at the second call), else the next that is accepted from an allowed user.
  /// Throws Unreachable, TimedOut, InvalidArgument or SystemError.
  Task<std::optional<Fd>> next();
  /// Lets next() give nothing from now on, and gives the address up.
  void stop();

 private:
  Task<std::optional<Fd>> accept();
  TimedOut timed_out() const;
  Task<bool> wait_for_client();
  Task<void> pause();
  Accepted try_to_accept() const;
  Task<Fd> connect();
  bool admits(int connection);
  bool is_welcome(int connection);
  void check_listener(int socket) const;
  int listening_fd() const { return accepts_ ? options_.socket.number : listener_->fd(); }

  Reactor& reactor_;
  RendezvousOptions options_;
  StderrLog& log_;
  PeerJudge judge_;
  LimitedLine report_refused_;
  TimePoint deadline_;
  Condition changed_;  ///< is told when `stopped_` is set
  std::optional<Listener> listener_;
  std::optional<FdWatcher> watcher_;
  bool accepts_ = false;  ///< the descriptor that was given is a listener
  bool used_ = false;     ///< the only connection was given
  bool stopped_ = false;
};

}  // namespace handoff
