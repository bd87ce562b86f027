// SPDX-License-Identifier: MIT
#include "master/channel_writer.hpp"

#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "os/error.hpp"

namespace handoff {
namespace {

/// The pause between two attempts while too many descriptors are in flight (ETOOMANYREFS): the
/// channel stays writable, and each attempt makes epoll report that again.
constexpr auto kRetryPause = std::chrono::milliseconds(10);

using Outcome = ConnectionSender::Outcome;

}  // namespace

ChannelWriter::ChannelWriter(Reactor& reactor, FdWatcher& watcher, int channel,
                             ConnectionSender& sender, Owner owner)
    : reactor_(reactor),
      watcher_(watcher),
      channel_(channel),
      sender_(sender),
      owner_(std::move(owner)) {}

/// The attempt is made even if the rest of an earlier one waits: when too many descriptors are in
/// flight, there is room for those that this process has just received, but only until another
/// process takes it.
void ChannelWriter::flush(const std::shared_ptr<void>& alive) {
  switch (send()) {
    case Outcome::all_sent: break;
    case Outcome::closed: end_receiving(); break;
    case Outcome::blocked:
      if (std::exchange(state_, State::when_writable) == State::when_writable) { break; }
      reactor_.spawn(send_when_writable(*this, alive));
      break;
  }
}

ConnectionSender::Outcome ChannelWriter::send() {
  const Outcome outcome = sender_.send();
  owner_.tried();
  if (outcome == Outcome::all_sent) { owner_.all_sent(); }
  return outcome;
}

// `alive` keeps `self`.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> ChannelWriter::send_when_writable(ChannelWriter& self,
                                             [[maybe_unused]] std::shared_ptr<void> alive) {
  Outcome outcome = Outcome::blocked;
  while (outcome == Outcome::blocked && self.owner_.is_open()) {
    try {
      co_await self.watcher_.writable();
    } catch (const SystemError&) {
      // The attempt is repeated after a pause.
    }
    if (self.owner_.is_open()) { outcome = self.send(); }
    if (outcome == Outcome::blocked) {
      co_await self.reactor_.sleep_until(self.reactor_.now() + kRetryPause);
    }
  }
  self.state_ = State::at_once;
  if (outcome == Outcome::closed) { self.end_receiving(); }
  if (self.owner_.is_open()) { self.owner_.went_on(); }
}

void ChannelWriter::end_receiving() {
  shutdown(channel_, SHUT_RD);
}

}  // namespace handoff
