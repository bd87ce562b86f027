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

/// The functions that an acceptor calls, on its reactor's thread. Only `accepted` must be set.
struct AcceptorOwner {
  /// Takes over a connection that was accepted. If it throws, the acceptor logs the error and
  /// closes the connection.
  std::function<void(Connection connection)> accepted;
  /// Returns whether one more connection may be accepted. If not, the acceptor sleeps until
  /// resume(). Without this function there is always room.
  std::function<bool()> has_room{};
  /// Called when no more clients are waiting, or when other tasks of the reactor get a turn before
  /// the next one is accepted.
  std::function<void()> burst_ended{};
  /// Called when this acceptor stops accepting, for want of room or for good, while other processes
  /// accept from the same listener: the kernel may have woken this process for a client that one of
  /// them has to accept now.
  std::function<void()> leaves_to_others{};
};

/// How an acceptor shares its listener with other processes.
enum class Sharing {
  none,
  wake_one,  ///< a connection wakes one of the processes (EPOLLEXCLUSIVE)
  wake_all,  ///< a connection wakes all of them
};

/// The sockets on which an acceptor asks its PeerJudge about the user of each peer. On all others
/// the address decides who can connect: a file's mode, or the network.
enum class Judged {
  abstract_names,  ///< Unix sockets with an abstract name, which has no file mode
  everybody,       ///< every socket: this one is for workers or for control
};

/// Accepts connections from one listener. No error of accept(2) ends it, and no exception from
/// AcceptorOwner::accepted: an error that concerns one connection costs that connection, and the
/// acceptor tries again after any other. Used on its reactor's thread only.
class Acceptor {
 public:
  /// Takes over `listener`. A peer whom `judge` refuses is disconnected, and the log says so. The
  /// reactor must outlive the acceptor.
  Acceptor(Reactor& reactor, Listener listener, AcceptorOwner owner, Report report, PeerJudge judge,
           Judged judged = Judged::abstract_names, Sharing sharing = Sharing::none);

  const Listener& listener() const { return *listener_; }
  /// Sets which of the processes that have the listener removes its names from the file system.
  /// Does nothing after the listener was closed.
  void set_owner(OwnedName::Owner owner) {
    if (listener_) { listener_->set_owner(owner); }
  }

  /// Accepts until close(). The acceptor must outlive the task. The task throws SystemError if the
  /// listener, which no other process shares, was shut down.
  Task<void> run() {
    phase_ = Phase::accepting;
    return accept_until_closed();
  }
  /// Returns whether neither run() nor close() was called yet.
  bool is_idle() const { return phase_ == Phase::idle; }
  /// Returns whether the task of run() has begun and not ended.
  bool is_running() const { return phase_ == Phase::accepting || phase_ == Phase::closing; }
  /// Accepts now, without a wake-up from the kernel: a client may be waiting whose arrival has
  /// woken another process.
  void accept_now();
  /// Wakes the acceptor if it sleeps because there was no room: it asks `has_room` again.
  void resume() { changed_.notify_all(); }
  /// Accepts the clients that are already waiting, even if there is no room for them, without
  /// blocking. Does nothing unless run() is accepting.
  void accept_waiting();
  /// Stops accepting, and closes the listener: at once if run() was not called, else in the next
  /// turn of the reactor.
  void close();

 private:
  /// run() leads from `idle` to `accepting`. close() leads from `accepting` to `closing`, which
  /// becomes `closed` when the task ends, or from `idle` to `closed` at once.
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
  Condition changed_;  ///< notified when there may be room, and by close()
  Phase phase_ = Phase::idle;
  /// The last accept failed for want of descriptors or memory; the log says so once.
  bool exhausted_ = false;
};

}  // namespace handoff
