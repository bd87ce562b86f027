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

/// The way to a reactor from other threads: the callbacks that they send run on its thread.
class Mailbox {
 public:
  using Callback = std::function<void()>;

  /// On the reactor's thread. Callbacks run only inside Reactor::run(); those still queued when it
  /// returns are destroyed uncalled. The mailbox must live until then.
  explicit Mailbox(Reactor& reactor);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  /// From any thread, also while the reactor does not run. Callbacks of one thread are called in
  /// their order. An exception of a callback leaves Reactor::run.
  void send(Callback callback);

 private:
  Task<void> receive();

  Fd wake_fd_;
  FdWatcher watcher_;
  std::mutex mutex_;
  std::vector<Callback> callbacks_;
};

}  // namespace handoff
