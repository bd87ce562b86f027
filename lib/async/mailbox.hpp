// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/os/fd.hpp>

namespace handoff {

/// The way to a reactor from other threads: the callbacks that they send run on its thread. It is
/// the only class of these headers that several threads may use at a time.
class Mailbox {
 public:
  using Callback = std::function<void()>;

  /// Makes a mailbox, on the reactor's thread. Callbacks run only inside Reactor::run() or
  /// run_once(); those still queued when run() returns are destroyed uncalled. The mailbox must
  /// live until run() returns, which destroys the task that it has spawned: after run_once() alone,
  /// run an empty task before you destroy the mailbox. Throws SystemError when there is no
  /// descriptor left for its eventfd(2).
  explicit Mailbox(Reactor& reactor);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  /// Has the reactor call `callback` soon. Any thread may send, also while the reactor does not
  /// run; it does not block. Callbacks of one thread are called in their order, each once. An
  /// exception of a callback leaves Reactor::run() or run_once().
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
