// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <optional>

#include "async/condition.hpp"
#include "async/fd_watcher.hpp"
#include "async/limited_line.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/listener.hpp"
#include "os/log.hpp"

namespace handoff {

/// Owns a listener from which workers accept, and listens again if one of them has shut it down.
class ListenerGuard {
 public:
  /// Says which socket listens again.
  enum class Healed {
    same_socket,     ///< processes that have the listener can accept from it again
    another_socket,  ///< the socket that they have is of no use any more
  };

  /// Calls `healed` each time that it listens again. The reactor must outlive this object.
  ListenerGuard(Reactor& reactor, Listener listener, Report report,
                std::function<void(Healed)> healed);
  ListenerGuard(const ListenerGuard&) = delete;
  ListenerGuard& operator=(const ListenerGuard&) = delete;

  const Listener& listener() const { return *listener_; }
  /// Sets which of the processes that have the listener removes its names in the file system. Does
  /// nothing if the listener is closed.
  void set_owner(OwnedName::Owner owner) {
    if (listener_) { listener_->set_owner(owner); }
  }

  /// Guards the listener until close(). This object must outlive the task.
  Task<void> run() {
    phase_ = Phase::guarding;
    return heal_until_closed();
  }
  /// Closes the listener, and so gives up the address.
  void close();

 private:
  /// run() leads from `idle` to `guarding`; close() from there to `closing`, which ends with the
  /// task, or from `idle` to `closed` at once.
  enum class Phase { idle, guarding, closing, closed };

  Task<void> heal_until_closed();
  /// Listens again if the socket was shut down.
  void heal();
  void release();

  Reactor& reactor_;
  std::optional<Listener> listener_;
  std::optional<FdWatcher> watcher_;
  LimitedLine report_;
  std::function<void(Healed)> healed_;
  Condition closing_;
  Phase phase_ = Phase::idle;
  bool has_failed_ = false;  ///< whether the last attempt to listen again has failed; the log
                             ///< reports only the first of a run of failures
};

}  // namespace handoff
