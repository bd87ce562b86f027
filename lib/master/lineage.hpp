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

/// How a master stands to the process that was started first, and to the master before it. It
/// decides which process stays after an upgrade.
class Lineage {
 public:
  enum class Role {
    original,   ///< this process was started; it stays when a successor serves
    successor,  ///< another process was started, and stays while this one serves
    managed,    ///< a service manager is told which process serves; none has to stay
  };

  /// `link` is the socket to the original process that the predecessor has passed, not valid if it
  /// has passed none; a successor names itself there. `predecessor` is its process, 0 if there is
  /// none.
  Lineage(Reactor& reactor, Report report, const ServiceManager& manager, Fd link,
          pid_t predecessor);
  Lineage(const Lineage&) = delete;
  Lineage& operator=(const Lineage&) = delete;

  Role role() const { return role_; }

  // An upgrade, in this order.

  /// The descriptor for a successor, which stays owned here; -1 if none has to know. Throws
  /// SystemError.
  int end_for_successor();
  /// The successor has been started. If it fails, successor_failed() follows.
  void successor_started(const Child& successor);
  void successor_failed();
  void successor_took_over();
  /// A signal that comes after that is for the successor, unless the role is `managed`.
  void forward(const ReceivedSignal& signal);

  /// Reads what later successors tell the original process, if this is it, until the reactor ends;
  /// or waits until the original process ends, if this is a successor. Returns then.
  Task<void> watch();
  /// The original process, if this is a successor.
  pid_t original() const { return original_; }
  /// Whether watch() has seen the original process end.
  bool original_ended() const { return original_ended_; }
  bool predecessor_is_original() const {
    return role_ == Role::successor && original_ == predecessor_;
  }
  /// The original process has ended before it had handed over: this one is on its own.
  void become_original();

  /// Counts a signal that stops, or a request, by its sender (0: unknown). Returns how often this
  /// master was told to stop. A signal to a whole group of processes comes from its sender and once
  /// more from each master that forwards it, and counts once.
  int stop_asked(pid_t sender);

  /// Tells the original process the exit status that follows, for the case that it is not this
  /// process's parent. Says nothing when a successor has taken over.
  void tell_end(int status);
  /// What this process is from now on; nothing if it may end.
  std::unique_ptr<OriginalProcess> leave();

 private:
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
  std::unique_ptr<OriginalProcess> stays_;  ///< of the original process, from an upgrade on
  std::optional<Child> successor_;          ///< of another
  std::map<pid_t, int> stops_;              ///< by the master that forwards; 0: all others
};

}  // namespace handoff
