// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <span>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "master/original_process.hpp"
#include "os/child.hpp"
#include "os/fd.hpp"
#include "os/log.hpp"
#include "os/service_manager.hpp"
#include "os/signals.hpp"

namespace handoff {

/// How a master is related to the process that was started first, and to the master before it. That
/// decides which process stays after an upgrade.
class Lineage {
 public:
  /// What this process is.
  enum class Role {
    original,   ///< the process that was started; it stays when a successor serves
    successor,  ///< another process was started, and stays while this one serves
    managed,    ///< a service manager is told which process serves, so that none has to stay
  };

  /// `link` is the socket to the original process that the predecessor has passed, invalid if it
  /// has passed none; a successor names itself there. `predecessor` is the predecessor's process, 0
  /// if there is none. The reactor must outlive this object.
  Lineage(Reactor& reactor, Report report, const ServiceManager& manager, Fd link,
          pid_t predecessor);
  Lineage(const Lineage&) = delete;
  Lineage& operator=(const Lineage&) = delete;

  Role role() const { return role_; }

  // The steps of an upgrade, in this order.

  /// Returns the descriptor for a successor, which stays owned here; -1 if no process has to be
  /// told. Throws SystemError.
  int end_for_successor();
  /// Called when the successor was started. If it fails, successor_failed() follows.
  void successor_started(const Child& successor);
  void successor_failed();
  void successor_took_over();
  /// Forwards a signal that arrives after the successor has taken over, unless the role is
  /// `managed`.
  void forward(const ReceivedSignal& signal);

  /// If this is the original process, reads what later successors tell it, until the reactor ends.
  /// If this is a successor, it waits until the original process ends, and returns then.
  Task<void> watch();
  /// Returns the original process, if this is a successor.
  pid_t original() const { return original_; }
  /// Returns whether watch() has seen the original process end.
  bool original_ended() const { return original_ended_; }
  /// Returns whether the predecessor is the original process, and not another successor.
  bool predecessor_is_original() const {
    return role_ == Role::successor && original_ == predecessor_;
  }
  /// Called when the original process has ended before it had handed over: this process does not
  /// depend on it any more.
  void become_original();

  /// Counts a signal that stops, or a request, by its sender (0: unknown). Returns how often this
  /// master was told to stop. A signal to a whole group of processes arrives from its sender and
  /// once more from each master that forwards it, and counts once.
  int stop_asked(pid_t sender);

  /// Tells the original process the exit status that follows, in case it is not this process's
  /// parent. Does nothing if a successor has taken over.
  void tell_end(int status);
  /// Returns what this process is from now on; null if it may end.
  std::unique_ptr<OriginalProcess> leave();

 private:
  /// Tells the original process which process this is.
  void name_this_process();
  void tell(Notice notice, int descriptor = -1);
  void send(std::span<const char> bytes, std::span<const int> descriptors);

  Reactor& reactor_;
  Report report_;
  Role role_;
  Fd link_;
  pid_t original_ = 0;
  pid_t predecessor_;
  bool original_ended_ = false;
  std::unique_ptr<OriginalProcess> stays_;  ///< in the original process, from an upgrade on
  std::optional<Child> successor_;          ///< in another process: its successor
  std::map<pid_t, int>
      stops_;  ///< how often each master has forwarded a stop; 0 counts all other senders
};

}  // namespace handoff
