// SPDX-License-Identifier: MIT
#include "async/address_race.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <utility>

#include "async/fd_watcher.hpp"
#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// Returns the targets with IPv4 and IPv6 in turns, each family in its given order; the first
/// target keeps its place (RFC 8305, section 4).
std::vector<SocketAddress> interleaved(std::vector<SocketAddress> targets) {
  std::vector<SocketAddress> result;
  result.reserve(targets.size());
  while (!targets.empty()) {
    auto next = targets.begin();
    if (!result.empty()) {
      const int last = result.back().family();
      next = std::find_if(targets.begin(), targets.end(),
                          [last](const SocketAddress& target) { return target.family() != last; });
      if (next == targets.end()) { next = targets.begin(); }
    }
    result.push_back(*next);
    targets.erase(next);
  }
  return result;
}

/// Returns whether both ends of the connection have the same address.
bool is_connected_to_itself(int socket) {
  const SocketAddress local = local_address(socket);
  const SocketAddress peer = peer_address(socket);
  return local.port() == peer.port() && local.text() == peer.text();
}

/// Closes with a reset, without a TIME_WAIT that would keep the port from a server.
void reset(Fd socket) {
  const linger at_once{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/// Collects the failures of all attempts, and names each reason once, with the first address that
/// gave it.
class Failures {
 public:
  void add(ConnectFailure failure, const SocketAddress& target) {
    all_.push_back({std::move(failure), target});
  }

  /// Returns one failure for all of them, which is permanent only if each is. There is at least
  /// one.
  ConnectFailure summary() const {
    ConnectFailure summary = all_.back().failure;
    std::vector<std::string> reasons;
    std::string text;
    for (const auto& [failure, target] : all_) {
      if (failure.outlook == Outlook::may_change) { summary.outlook = Outlook::may_change; }
      if (std::find(reasons.begin(), reasons.end(), failure.reason) != reasons.end()) { continue; }
      reasons.push_back(failure.reason);
      text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", failure.reason, target.text());
    }
    summary.reason = reasons.size() == 1 ? reasons.front() : text;
    return summary;
  }

 private:
  struct Failed {
    ConnectFailure failure;
    SocketAddress target;
  };
  std::vector<Failed> all_;
};

class Race {
 public:
  Race(Reactor& reactor, std::vector<SocketAddress> targets, int type, Duration attempt_delay)
      : reactor_(reactor),
        targets_(interleaved(std::move(targets))),
        type_(type),
        attempt_delay_(attempt_delay) {}

  Task<ConnectOutcome> run(TimePoint deadline);

 private:
  struct Pending {
    Fd socket;
    SocketAddress target;
  };

  void start_next();
  void failed(ConnectFailure failure, const SocketAddress& target);
  void judge(Pending pending);
  void judge_ready();
  Task<void> wait_until(TimePoint when);
  Task<void> wait_for_one(TimePoint when);
  Task<void> wait_for_any(TimePoint when);
  bool has_next() const { return next_ < targets_.size(); }

  Reactor& reactor_;
  std::vector<SocketAddress> targets_;
  int type_;
  Duration attempt_delay_;
  std::size_t next_ = 0;    ///< the index of the target that is tried next
  TimePoint next_start_{};  ///< when that target is tried
  std::vector<Pending> pending_;
  Failures failures_;
  Fd winner_;
};

Task<ConnectOutcome> Race::run(TimePoint deadline) {
  for (;;) {
    while (!winner_.valid() && has_next() && (pending_.empty() || Clock::now() >= next_start_)) {
      start_next();
    }
    if (winner_.valid()) { co_return ConnectOutcome{std::move(winner_), {}, false}; }
    if (pending_.empty()) { co_return ConnectOutcome{{}, failures_.summary(), false}; }
    co_await wait_until(has_next() ? std::min(deadline, next_start_) : deadline);
    judge_ready();
    if (winner_.valid() || pending_.empty() || Clock::now() < deadline) { continue; }
    for (const Pending& pending : pending_) { failures_.add(no_answer(), pending.target); }
    co_return ConnectOutcome{{}, failures_.summary(), true};
  }
}

void Race::start_next() {
  const SocketAddress& target = targets_[next_++];
  next_start_ = Clock::now() + attempt_delay_;
  ConnectFailure failure;
  Pending pending{try_make_socket(target, type_, failure), target};
  if (!pending.socket.valid()) { return failed(std::move(failure), target); }
  const int number = pending.socket.get();
  if (retry([&] { return connect(number, target.data(), target.size()); }) == 0) {
    return judge(std::move(pending));
  }
  if (const int error = errno; error != EINPROGRESS) {
    return failed(connect_failure(error, target), target);
  }
  pending_.push_back(std::move(pending));
}

void Race::failed(ConnectFailure failure, const SocketAddress& target) {
  failures_.add(std::move(failure), target);
  next_start_ = Clock::now();
}

/// Evaluates a connect that is over: its socket wins, or its failure is added.
void Race::judge(Pending pending) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(pending.socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) < 0) { error = errno; }
  if (error == 0 && is_connected_to_itself(pending.socket.get())) {
    reset(std::move(pending.socket));
    error = ECONNREFUSED;
  }
  if (error != 0) { return failed(connect_failure(error, pending.target), pending.target); }
  if (!winner_.valid()) { winner_ = std::move(pending.socket); }
}

void Race::judge_ready() {
  for (auto pending = pending_.begin(); pending != pending_.end();) {
    pollfd ready{pending->socket.get(), POLLOUT, 0};
    if (poll(&ready, 1, 0) <= 0) {
      ++pending;
      continue;
    }
    judge(std::move(*pending));
    pending = pending_.erase(pending);
  }
}

/// Waits until a connect is over, or until `when`.
Task<void> Race::wait_until(TimePoint when) {
  return pending_.size() == 1 ? wait_for_one(when) : wait_for_any(when);
}

Task<void> Race::wait_for_one(TimePoint when) {
  FdWatcher watcher(reactor_, pending_.front().socket.get());
  const WaitTimeout limit(watcher, when);
  co_await watcher.writable();
}

/// One coroutine waits for several sockets through an epoll instance that is ready when any of them
/// is.
Task<void> Race::wait_for_any(TimePoint when) {
  const Fd group(epoll_create1(EPOLL_CLOEXEC));
  if (!group.valid()) { throw SystemError(errno, "use epoll_create1"); }
  for (const Pending& pending : pending_) {
    epoll_event event{};
    event.events = EPOLLOUT;
    if (epoll_ctl(group.get(), EPOLL_CTL_ADD, pending.socket.get(), &event) < 0) {
      throw SystemError(errno, "watch a descriptor");
    }
  }
  FdWatcher watcher(reactor_, group.get());
  const WaitTimeout limit(watcher, when);
  co_await watcher.readable();
}

}  // namespace

Fd try_make_socket(const SocketAddress& target, int type, ConnectFailure& failure) {
  try {
    return make_socket(target, type);
  } catch (const SystemError& error) {
    failure = connect_failure(error.error_number(), target);
    return {};
  }
}

// The reactor outlives the tasks that it runs.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<ConnectOutcome> race_addresses(Reactor& reactor, std::vector<SocketAddress> targets, int type,
                                    TimePoint deadline, Duration attempt_delay) {
  Race race(reactor, std::move(targets), type, attempt_delay);
  co_return co_await race.run(deadline);
}

}  // namespace handoff
