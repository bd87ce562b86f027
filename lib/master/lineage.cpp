// SPDX-License-Identifier: MIT
#include "master/lineage.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "async/fd_watcher.hpp"
#include "os/peer.hpp"
#include "os/socket.hpp"
#include "pass/fd_passing.hpp"

namespace handoff {
namespace {

Lineage::Role role_of(const ServiceManager& manager, const Fd& link) {
  if (link.valid()) { return Lineage::Role::successor; }
  // The first process of a PID namespace ends all others with it, whatever a manager was told
  // (pid_namespaces(7)).
  const bool is_first = getpid() == 1;
  return manager.is_there() && !is_first ? Lineage::Role::managed : Lineage::Role::original;
}

}  // namespace

Lineage::Lineage(Reactor& reactor, Report report, const ServiceManager& manager, Fd link,
                 pid_t predecessor)
    : reactor_(reactor),
      report_(std::move(report)),
      role_(role_of(manager, link)),
      link_(std::move(link)),
      predecessor_(predecessor) {
  if (!link_.valid()) { return; }
  set_close_on_exec(link_.get());
  original_ = peer_credentials(link_.get()).pid;
  if (!predecessor_is_original()) { name_this_process(); }
}

/// The predecessor names this process too, unless it is killed in the instant after it has started
/// this one.
void Lineage::name_this_process() {
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0)));
  if (pidfd.valid()) { tell(Notice::started, pidfd.get()); }
}

int Lineage::end_for_successor() {
  if (role_ == Role::managed) { return -1; }
  if (role_ == Role::successor) { return link_.get(); }
  stays_ = std::make_unique<OriginalProcess>(report_);
  return stays_->successors_end();
}

void Lineage::successor_started(const Child& successor) {
  if (role_ == Role::managed) { return; }
  Child copy(successor.pid(), duplicate(successor.pidfd()));
  if (stays_) { return stays_->successor_started(std::move(copy)); }
  tell(Notice::started, copy.pidfd());
  successor_ = std::move(copy);
}

void Lineage::successor_failed() {
  stays_.reset();
  successor_.reset();
}

void Lineage::successor_took_over() {
  if (role_ == Role::managed) { return; }
  if (!stays_) { return tell(Notice::took_over); }
  stays_->successor_took_over();
  reactor_.spawn(watch());
}

void Lineage::forward(const ReceivedSignal& signal) {
  if (stays_) { return stays_->forward(signal); }
  if (successor_) { pass_on(signal, *successor_); }
}

Task<void> Lineage::watch() {
  const int fd = stays_ ? stays_->fd() : link_.get();
  if (fd < 0) { co_return; }
  FdWatcher watcher(reactor_, fd);
  for (;;) {
    if (stays_) {
      if (!stays_->receive()) { co_return; }
    } else {
      std::array<char, 1> byte{};
      const ReceiveOutcome outcome = recv_fds(fd, byte, 0).outcome;
      original_ended_ = outcome == ReceiveOutcome::end || outcome == ReceiveOutcome::reset;
      if (original_ended_) { co_return; }
    }
    co_await watcher.readable();
  }
}

void Lineage::become_original() {
  role_ = Role::original;
}

int Lineage::stop_asked(pid_t sender) {
  const bool forwards = sender != 0 && (sender == original_ || sender == predecessor_);
  ++stops_[forwards ? sender : 0];
  int most = 0;
  for (const auto& [from, count] : stops_) { most = std::max(most, count); }
  return most;
}

void Lineage::tell_end(int status) {
  if (role_ != Role::successor || successor_) {
    return;  // the status of the successor counts
  }
  const std::array<char, 2> bytes{static_cast<char>(Notice::ended), static_cast<char>(status)};
  send(bytes, {});
}

void Lineage::tell(Notice notice, int descriptor) {
  const std::array<char, 1> bytes{static_cast<char>(notice)};
  const std::array<int, 1> descriptors{descriptor};
  send(bytes, std::span(descriptors).first(descriptor < 0 ? 0 : 1));
}

/// A failure is ignored: an original process that has ended needs no notice, and one that lives
/// reads them.
void Lineage::send(std::span<const char> bytes, std::span<const int> descriptors) {
  send_fds(link_.get(), bytes, descriptors);
}

std::unique_ptr<OriginalProcess> Lineage::leave() {
  const bool stays = stays_ && stays_->phase() == OriginalProcess::Phase::forwarding;
  return stays ? std::move(stays_) : nullptr;
}

}  // namespace handoff
