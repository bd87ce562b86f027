// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "async/fd_watcher.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/fd.hpp"

namespace handoff {

/// The way to a reactor from other threads: the callbacks that they send run on the reactor's
/// thread. They run without a lock, so that send() never waits for a callback.
class Mailbox {
 public:
  using Callback = std::function<void()>;

  /// Must be called on the reactor's thread. Callbacks run only inside Reactor::run(); those that
  /// are still queued when it returns are destroyed uncalled. The mailbox must exist until then.
  /// Throws SystemError if there is no descriptor left.
  explicit Mailbox(Reactor& reactor);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  /// Queues `callback`. May be called by any thread, also while the reactor does not run. The
  /// callbacks of one thread run in their order. An exception of a callback leaves Reactor::run().
  void send(Callback callback);

 private:
  /// Runs the callbacks, a batch per wake-up, until the reactor destroys the task.
  Task<void> receive();

  Fd wake_fd_;
  FdWatcher watcher_;
  std::mutex mutex_;
  std::vector<Callback> callbacks_;
};

}  // namespace handoff
