// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include <handoff/async/condition.hpp>
#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>

#include "async/limited_line.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"
#include "os/peer.hpp"
#include "os/socket.hpp"
#include "pass/connection.hpp"

namespace handoff {

/// What an acceptor calls; only `accepted` has to be there.
struct AcceptorOwner {
  std::function<void(Connection connection)> accepted;
  /// Whether one more connection may be accepted; when not, the acceptor sleeps until resume().
  /// Without it there always is room.
  std::function<bool()> has_room{};
  /// No other client is waiting now, or others get a turn.
  std::function<void()> burst_ended{};
  /// Other processes accept from the same listener, and this acceptor does not any more, for want
  /// of room or for good: one of them may have to accept the client that it was woken for.
  std::function<void()> leaves_to_others{};
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
  Acceptor(Reactor& reactor, Listener listener, AcceptorOwner owner, Report report, PeerJudge judge,
           Judged judged = Judged::abstract_names, Sharing sharing = Sharing::none);

  const Listener& listener() const { return *listener_; }
  /// Says which of the processes that have the listener removes its names in the file system. Does
  /// nothing once the listener is closed.
  void set_owner(OwnedName::Owner owner) {
    if (listener_) { listener_->set_owner(owner); }
  }

  /// Accepts until close(). It must outlive the task.
  Task<void> run() {
    phase_ = Phase::accepting;
    return accept_until_closed();
  }
  /// Until run() or close().
  bool is_idle() const { return phase_ == Phase::idle; }
  /// From run() until its end.
  bool is_running() const { return phase_ == Phase::accepting || phase_ == Phase::closing; }
  /// Accepts now: a client may be waiting that has woken another process.
  void accept_now();
  /// There may be room again.
  void resume() { changed_.notify_all(); }
  /// Accepts the clients that are waiting already, room or not, without blocking.
  void accept_waiting();
  /// Accepts nothing more, and gives the address up.
  void close();

 private:
  /// run() leads from `idle` to `accepting`; close() from there to `closing`, which ends with the
  /// task, or from `idle` to `closed` at once.
  enum class Phase { idle, accepting, closing, closed };
  enum class Outcome { burst, would_block, no_room, exhausted, shut_down };
  enum class Room { needed, ignored };
  Task<void> accept_until_closed();
  Outcome accept_burst(Room room);
  bool has_room() const { return !owner_.has_room || owner_.has_room(); }
  void end_burst() const;
  bool admits(int connection);
  void hand_over(Accepted accepted);
  void watch();
  void leave_to_others();
  void release();
  void report_exhausted(std::string_view attempt, int error_number);

  Reactor& reactor_;
  std::optional<Listener> listener_;
  std::optional<FdWatcher> watcher_;
  AcceptorOwner owner_;
  LimitedLine report_trouble_;
  LimitedLine report_refused_;
  PeerJudge judge_;
  bool judges_;
  Sharing sharing_;
  Condition changed_;  ///< there is room, or it is closed
  Phase phase_ = Phase::idle;
  bool exhausted_ = false;  ///< which the log says once for each time that it lasts
};

}  // namespace handoff
