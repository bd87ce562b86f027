// SPDX-License-Identifier: MIT
#include "master/original_process.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string_view>
#include <tuple>
#include <utility>

#include "os/error.hpp"
#include "os/parse_number.hpp"
#include "os/socket.hpp"
#include "pass/fd_passing.hpp"

namespace handoff {
namespace {

/// Returns the process that a pidfd refers to, as the kernel says it, because a number in a message
/// could be any. Returns 0 if it was reaped already, or is in another PID namespace.
pid_t pid_of(int pidfd) {
  std::ifstream file(fmt::format("/proc/self/fdinfo/{}", pidfd));
  constexpr std::string_view kField = "Pid:\t";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kField)) { continue; }
    return std::max(parse_number<pid_t>(line.substr(kField.size())).value_or(0), 0);
  }
  return 0;
}

}  // namespace

bool is_stop(int signal) {
  return signal == SIGTERM || signal == SIGINT || signal == SIGQUIT;
}

void pass_on(const ReceivedSignal& signal, const Child& master) {
  const bool has_it =
      signal.from == ReceivedSignal::From::kernel && getpgid(master.pid()) == getpgrp();
  if (!has_it) { master.kill(signal.number); }
}

OriginalProcess::OriginalProcess(Report report, Duration heir_patience)
    : report_(std::move(report)), heir_patience_(heir_patience) {
  std::tie(ours_, theirs_) = make_socket_pair(SOCK_SEQPACKET);
}

void OriginalProcess::successor_started(Child successor) {
  candidate_ = std::move(successor);
}

void OriginalProcess::successor_took_over() {
  if (!candidate_) { return; }
  masters_.push_back({std::move(*candidate_), {}});
  candidate_.reset();
  told_.reset();
  theirs_.reset();
  phase_ = Phase::forwarding;
}

bool OriginalProcess::receive() {
  std::array<char, 2> bytes{};
  for (;;) {
    ReceiveResult result = recv_fds(ours_.get(), bytes, 1);
    switch (result.outcome) {
      case ReceiveOutcome::received: break;
      case ReceiveOutcome::would_block:
      case ReceiveOutcome::exhausted: return true;
      case ReceiveOutcome::end:
      case ReceiveOutcome::failed: return false;
      default: continue;
    }
    take(static_cast<Notice>(bytes[0]), {bytes.data() + 1, result.size - 1}, result.descriptors);
  }
}

void OriginalProcess::take(Notice notice, std::string_view rest, std::vector<Fd>& descriptors) {
  switch (notice) {
    case Notice::started: {
      if (descriptors.empty()) { return; }
      const pid_t pid = pid_of(descriptors.front().get());
      if (pid > 0 && !is_serving(pid)) {
        successor_started(Child(pid, std::move(descriptors.front())));
      }
      return;
    }
    case Notice::took_over: return successor_took_over();
    case Notice::ended:
      if (!rest.empty()) { told_ = ExitStatus{static_cast<unsigned char>(rest[0]), 0}; }
      return;
  }
}

bool OriginalProcess::is_serving(pid_t pid) const {
  return std::any_of(masters_.begin(), masters_.end(), [pid](const Successor& master) {
    return master.process.pid() == pid && !master.process.has_ended();
  });
}

void OriginalProcess::forward(const ReceivedSignal& signal) {
  if (masters_.empty()) { return; }
  if (!is_stop(signal.number)) { return pass_on(signal, masters_.back().process); }
  told_to_stop_ = true;
  // The latest master is signalled first: an older one forwards the signal to it too, and of two
  // pending signals of one kind only the first counts. So the latest one counts what this process
  // has sent.
  for (auto master = masters_.rbegin(); master != masters_.rend(); ++master) {
    pass_on(signal, master->process);
  }
}

std::optional<ExitStatus> OriginalProcess::run(const SignalMask& signals) {
  for (;;) {
    // SIGCHLD is read before children are reaped, so that one that ends later causes another event.
    // Other signals are forwarded after that, to the master that serves then.
    while (const auto signal = signals.try_receive()) {
      if (signal->number != SIGCHLD) { unforwarded_.push_back(*signal); }
    }
    forget_ended();
    if (phase_ == Phase::over) { return last_; }
    if (phase_ == Phase::forwarding) {
      for (const ReceivedSignal& signal : std::exchange(unforwarded_, {})) { forward(signal); }
    }
    wait_for_event(signals.fd());
  }
}

/// A master that has ended has sent its last notice, and reap_children() has reaped it if it is a
/// child. It may become a child only when the master that has started it has ended, so the oldest
/// comes first.
void OriginalProcess::forget_ended() {
  bool any = true;
  while (any) {
    any = !masters_.empty() && masters_.front().process.has_ended();
    if (ours_.valid() && !receive()) { ours_.reset(); }
    reap_children();
    if (any) {
      const Successor ended = std::move(masters_.front());
      masters_.erase(masters_.begin());
      master_ended(ended.process, ended.status);
    }
  }
  if (masters_.empty()) { look_for_heir(); }
}

void OriginalProcess::reap_children() {
  while (const auto child = reap_any_child()) {
    for (Successor& master : masters_) {
      if (master.process.pid() == child->pid) { master.status = child->status; }
    }
  }
}

void OriginalProcess::master_ended(const Child& master, std::optional<ExitStatus> status) {
  if (!masters_.empty()) {
    if (told_to_stop_ && status && !status->success()) { cut_off_ = status; }
    return;
  }
  last_ = status ? status : told_;
  if (last_ && last_->success() && cut_off_) { last_ = cut_off_; }
  last_pid_ = master.pid();
  heir_limit_ = Clock::now() + heir_patience_;
}

/// All masters have ended. A successor that one of them had started takes its place by itself. If a
/// master was killed in the instant after it had started one, it has not named it, and the
/// successor names itself. Only masters have the other end of the socket, so none is left to wait
/// for when that is closed.
///
///     all masters have ended, and        forwarding      awaiting_heir
///     a successor was named, and runs    forwarding      forwarding
///     the socket is closed               over            over
///     none of these                      awaiting_heir   awaiting_heir; over after the patience
void OriginalProcess::look_for_heir() {
  const std::string how = last_ ? last_->text() : "its exit status is not known";
  if (candidate_ && !candidate_->has_ended()) {
    report_(Severity::error, fmt::format("the master, pid {}: {}; pid {} takes over", last_pid_,
                                         how, candidate_->pid()));
    return successor_took_over();
  }
  if (ours_.valid() && Clock::now() < heir_limit_) {
    phase_ = Phase::awaiting_heir;
    return;
  }
  phase_ = Phase::over;
  if (!last_ || last_->signal != 0) {
    report_(Severity::error, fmt::format("the master, pid {}: {}", last_pid_, how));
  }
}

void OriginalProcess::wait_for_event(int signals) const {
  // Where orphans are not adopted, a master that another one has started never becomes a child of
  // this process, and only its pidfd shows its end.
  const int master = masters_.empty() ? -1 : masters_.front().process.pidfd();
  std::array<pollfd, 3> events{
      {{signals, POLLIN, 0}, {ours_.get(), POLLIN, 0}, {master, POLLIN, 0}}};
  int timeout = -1;
  if (phase_ == Phase::awaiting_heir) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(heir_limit_ - Clock::now());
    timeout = static_cast<int>(std::max(left.count(), std::chrono::milliseconds::rep{0}));
  }
  if (poll(events.data(), events.size(), timeout) < 0 && errno != EINTR) {
    throw SystemError(errno, "wait for events");
  }
}

}  // namespace handoff
