// SPDX-License-Identifier: MIT
#include "async/mailbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

Fd make_bell() {
  Fd bell(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell.valid()) throw SystemError(errno, "use eventfd");
  return bell;
}

}  // namespace

Mailbox::Mailbox(Reactor& reactor) : bell_(make_bell()), readiness_(reactor, bell_.get()) {
  reactor.spawn(receive());
}

Mailbox::~Mailbox() = default;

void Mailbox::send(Letter letter) {
  const std::lock_guard lock(mutex_);
  letters_.push_back(std::move(letter));
  // The others have rung already.
  if (letters_.size() == 1) eventfd_write(bell_.get(), 1);
}

Task<void> Mailbox::receive() {
  for (;;) {
    eventfd_t rings = 0;
    if (eventfd_read(bell_.get(), &rings) < 0) {
      co_await readiness_.readable();
      continue;
    }
    std::vector<Letter> letters;
    {
      const std::lock_guard lock(mutex_);
      letters.swap(letters_);
    }
    for (Letter& letter : letters) std::exchange(letter, nullptr)();
  }
}

}  // namespace handoff
