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

/// The way to a reactor from other threads: what they send is called on its thread.
class Mailbox {
 public:
  using Letter = std::function<void()>;

  /// On the reactor's thread. What comes is called while the reactor runs; what is left then never.
  explicit Mailbox(Reactor& reactor);
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;
  ~Mailbox();

  /// From any thread, also while the reactor does not run. Letters of one thread are called in
  /// their order. An exception of a letter leaves Reactor::run.
  void send(Letter letter);

 private:
  Task<void> receive();

  Fd bell_;
  FdWatcher watcher_;
  std::mutex mutex_;
  std::vector<Letter> letters_;
};

}  // namespace handoff
