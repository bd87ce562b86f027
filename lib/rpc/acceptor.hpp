// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "async/condition.hpp"
#include "async/fd_watcher.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "os/socket.hpp"
#include "pass/connection.hpp"

namespace handoff {

/// What an acceptor gives its connections to.
class AcceptorOwner {
 public:
  /// Whether one more connection may be accepted; when not, the acceptor sleeps until resume().
  virtual bool has_room() const = 0;
  virtual void accepted(Connection connection) = 0;
  /// Nobody else is waiting now, or others shall have a turn.
  virtual void burst_ended() {}
  /// Other processes accept from the same listener, and we don't any more, for want of room or for
  /// good: one of them may have to accept whom we were woken for.
  virtual void leaves_to_others() {}

 protected:
  ~AcceptorOwner() = default;
};

/// How an acceptor shares its listener with other processes.
enum class Sharing {
  none,
  wake_one,  ///< a connection wakes one of them (EPOLLEXCLUSIVE)
  wake_all,
};

/// Whose user an acceptor judges. Where it judges nobody, the address says who can connect: a
/// file's mode, or the network.
enum class Judged {
  abstract_names,  ///< who connects to an abstract name, which has no file mode
  everybody,       ///< who connects to a socket that is for workers or for control
};

/// Accepts from one listener, and survives whatever accept(2) can report. What fails with one
/// connection, a call of its owner included, costs that connection.
class Acceptor {
 public:
  /// A peer whom `judge` refuses is turned away, and the log says so.
  Acceptor(Reactor& reactor, Listener listener, AcceptorOwner& owner, Report report,
           PeerJudge judge, Judged judged = Judged::abstract_names,
           Sharing sharing = Sharing::none);

  const Listener& listener() const { return *listener_; }
  /// Says which of the processes that have the listener removes its names in the file system. Does
  /// nothing once the listener is closed.
  void set_owner(OwnedName::Owner owner) {
    if (listener_) listener_->set_owner(owner);
  }

  /// Accepts until close(). It must outlive the task.
  Task<void> run() {
    running_ = true;
    return accept_until_closed();
  }
  /// Instead of run(), for a listener that other processes accept from: listens again when one of
  /// them has shut it down, and tells `healed` whether the same socket does; if not, what they have
  /// of it is of no use any more. Until close().
  Task<void> guard(std::function<void(bool same_socket)> healed) {
    running_ = true;
    return heal_until_closed(std::move(healed));
  }
  /// From run() or guard() on, until its end.
  bool is_running() const { return running_; }
  /// Somebody may wait who has woken another process.
  void look();
  /// There may be room again.
  void resume() { changed_.notify_all(); }
  /// Accepts who is waiting already, room or not, without blocking.
  void accept_waiting();
  /// Accepts nothing more, and gives the address up.
  void close();

 private:
  enum class Outcome { burst, would_block, no_room, exhausted, shut_down };
  Task<void> accept_until_closed();
  Task<void> heal_until_closed(std::function<void(bool)> healed);
  Outcome accept_burst(bool room_or_not = false);
  bool admits(int connection);
  bool try_heal(bool& same_socket);
  void hand_over(Accepted accepted);
  void watch();
  void leave_to_others();
  void release();
  void report_exhausted(std::string_view attempt, int error_number);

  Reactor& reactor_;
  std::optional<Listener> listener_;
  std::optional<FdWatcher> watcher_;
  AcceptorOwner& owner_;
  LimitedLine report_trouble_;
  LimitedLine report_refused_;
  PeerJudge judge_;
  bool judges_;
  Sharing sharing_;
  Condition changed_;  ///< there is room, or it is closed
  bool running_ = false;
  bool closed_ = false;
  bool exhausted_ = false;
};

}  // namespace handoff
