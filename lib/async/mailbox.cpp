// SPDX-License-Identifier: MIT
#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include <handoff/async/mailbox.hpp>
#include <handoff/os/error.hpp>

namespace handoff {
namespace {

Fd make_wake_fd() {
  Fd wake_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_fd.valid()) { throw SystemError(errno, "use eventfd"); }
  return wake_fd;
}

}  // namespace

Mailbox::Mailbox(Reactor& reactor) : wake_fd_(make_wake_fd()), watcher_(reactor, wake_fd_.get()) {
  reactor.spawn(receive());
}

Mailbox::~Mailbox() = default;

void Mailbox::send(Callback callback) {
  const std::lock_guard lock(mutex_);
  callbacks_.push_back(std::move(callback));
  // A callback that is queued already has woken the reactor.
  if (callbacks_.size() == 1) { eventfd_write(wake_fd_.get(), 1); }
}

Task<void> Mailbox::receive() {
  for (;;) {
    eventfd_t wakes = 0;
    if (eventfd_read(wake_fd_.get(), &wakes) < 0) {
      co_await watcher_.readable();
      continue;
    }
    std::vector<Callback> callbacks;
    {
      const std::lock_guard lock(mutex_);
      callbacks.swap(callbacks_);
    }
    for (Callback& callback : callbacks) { std::exchange(callback, nullptr)(); }
  }
}

}  // namespace handoff
