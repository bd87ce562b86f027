// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "cluster/report.hpp"
#include "os/socket.hpp"

namespace handoff {

/// What an acceptor gives its connections to.
class AcceptorOwner {
 public:
  /// Whether one more connection may be accepted; when not, the acceptor sleeps until resume().
  virtual bool has_room() const = 0;
  virtual void accepted(Fd connection, const SocketAddress& peer) = 0;
  /// Nobody else is waiting now, or others shall have a turn.
  virtual void burst_ended() {}

 protected:
  ~AcceptorOwner() = default;
};

/// Accepts from one listener, and survives whatever accept(2) can report.
class Acceptor {
 public:
  /// `allowed` may connect to an abstract name besides ourselves and root: it has no file mode.
  Acceptor(Reactor& reactor, Listener listener, AcceptorOwner& owner, Report report,
           std::vector<uid_t> allowed = {});

  const Listener& listener() const { return *listener_; }
  /// Another process has the listener too, and owns it from now on.
  void disown() { listener_->disown(); }
  void own() { listener_->own(); }

  /// Accepts until close(). It must outlive the task.
  Task<void> run();
  /// There may be room again.
  void resume() { room_.set(); }
  /// Accepts who is waiting already, room or not, without blocking.
  void accept_waiting();
  /// Accepts nothing more, and gives the address up.
  void close();

 private:
  enum class Outcome { burst, would_block, no_room, exhausted };
  Outcome accept_burst(bool room_or_not = false);
  void release();
  void report_exhausted(int error_number);

  Reactor& reactor_;
  std::optional<Listener> listener_;
  std::optional<Readiness> readiness_;
  AcceptorOwner& owner_;
  Report report_;
  std::vector<uid_t> allowed_;
  Event room_;
  bool running_ = false;
  bool closed_ = false;
  bool exhausted_ = false;
};

}  // namespace handoff
