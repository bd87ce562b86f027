// SPDX-License-Identifier: MIT
#include "async/reactor.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

#include "async/fd_watcher.hpp"
#include "os/error.hpp"

namespace handoff {
namespace {

Task<void>::promise_type& promise_of(std::coroutine_handle<> root) {
  return Task<void>::Handle::from_address(root.address()).promise();
}

}  // namespace

Reactor::Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_.valid()) { throw SystemError(errno, "use epoll_create1"); }
}

Reactor::~Reactor() {
  destroy_roots();
}

void Reactor::spawn(Task<void> task) {
  auto frame = task.release();
  frame.promise().make_root(*this, static_cast<std::uint32_t>(roots_.size()));
  roots_.push_back(frame);
  post(frame);
}

void Reactor::root_finished(std::coroutine_handle<> frame, std::exception_ptr error) {
  const std::uint32_t index = promise_of(frame).root_index();
  roots_[index] = roots_.back();
  promise_of(roots_[index]).make_root(*this, index);
  roots_.pop_back();
  frame.destroy();
  if (error && !error_) { error_ = std::move(error); }
}

void Reactor::destroy_roots() {
  while (!roots_.empty()) {
    const auto frame = roots_.back();
    roots_.pop_back();
    unpost(frame);
    frame.destroy();
  }
}

void Reactor::run(Task<void> main) {
  done_ = false;
  // The flag is a member of the reactor, which owns the task.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  spawn([](Task<void> task, bool& finished) -> Task<void> {
    co_await std::move(task);
    finished = true;
  }(std::move(main), done_));
  try {
    while (!done_ && !error_) { turn(); }
  } catch (...) {
    destroy_roots();  // the tasks use what the caller destroys before the reactor
    throw;
  }
  destroy_roots();
  if (error_) { std::rethrow_exception(std::exchange(error_, nullptr)); }
}

void Reactor::remove(PollSource& source) {
  const auto found = std::find(sources_.begin(), sources_.end(), &source);
  if (found == sources_.end()) { return; }
  if (static_cast<std::size_t>(found - sources_.begin()) < next_source_) { --next_source_; }
  sources_.erase(found);
}

void Reactor::unpost(std::coroutine_handle<> frame) {
  std::erase(posted_, frame);
  std::erase(yielding_, frame);
  std::replace(resuming_.begin(), resuming_.end(), frame, std::coroutine_handle<>());
}

void Reactor::turn() {
  do_posted();
  if (done_ || error_) { return; }
  const int count = wait_for_events();
  now_ = Clock::now();
  dispatch_events(count);
  if (!timers_.is_empty() && timers_.next() <= now_) {
    catch_up();
    while (timers_.fire_next(now_)) { continue; }
  }
  posted_.insert(posted_.end(), yielding_.begin(), yielding_.end());
  yielding_.clear();
  resume_posted();
}

/// Handles everything that had happened by now(), so that no timer overtakes it. The wait before
/// this call is not enough: a process that was stopped during it gets EINTR and no events, one that
/// is stopped right after it gets too few, and no wait reports more than kEventsPerTurn.
void Reactor::catch_up() {
  constexpr int kRounds = 1024;
  poll_all();
  for (int round = 0, count = kEventsPerTurn; round < kRounds && count == kEventsPerTurn; ++round) {
    count = wait_until(TimePoint::min());
    dispatch_events(count);
  }
  resume_posted();
}

void Reactor::dispatch_events(int count) {
  event_count_ = static_cast<std::size_t>(count);
  for (next_event_ = 0; next_event_ < event_count_;) {
    const epoll_event& event = events_[next_event_++];
    // The pointer is null if an earlier event of this turn has destroyed the watcher.
    if (event.data.ptr != nullptr) {
      static_cast<FdWatcher*>(event.data.ptr)->on_events(event.events);
    }
  }
  event_count_ = next_event_ = 0;
}

/// The number of rounds is bounded, so that sources and coroutines that always have more to do do
/// not keep the loop from asking the kernel.
void Reactor::do_posted() {
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds && poll_all(); ++round) {
    resume_posted();
    if (done_ || error_) { return; }
  }
}

bool Reactor::poll_all() {
  bool any = false;
  for (next_source_ = 0; next_source_ < sources_.size();) {
    any = sources_[next_source_++]->poll() || any;
  }
  return any || !posted_.empty();
}

int Reactor::wait_for_events() {
  constexpr TimePoint kNow = TimePoint::min();
  const TimePoint next = timers_.next();
  if (!posted_.empty() || !yielding_.empty()) { return wait_until(kNow); }
  if (sources_.empty()) { return wait_until(next); }
  for (PollSource* source : sources_) { source->prepare_to_block(); }
  const int count = wait_until(poll_all() ? kNow : next);
  for (PollSource* source : sources_) { source->stop_blocking(); }
  return count;
}

int Reactor::wait_until(TimePoint when) {
  Duration timeout = Duration(-1);
  if (when == TimePoint::min()) {
    timeout = Duration::zero();
  } else if (when != kNever) {
    timeout = std::max(Duration::zero(), when - Clock::now());
  }
  int count = -1;
  if (precise_wait_ && timeout > Duration::zero()) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    const timespec limit{seconds.count(), static_cast<long>((timeout - seconds).count())};
    count = epoll_pwait2(epoll_.get(), events_.data(), kEventsPerTurn, &limit, nullptr);
    // epoll_pwait2 came with Linux 5.11, and some seccomp profiles refuse it. Without it, deadlines
    // are rounded up to the millisecond.
    if (count < 0 && is_refused(errno)) { precise_wait_ = false; }
  }
  if (count < 0 && !(precise_wait_ && timeout > Duration::zero())) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    const int limit =
        timeout < Duration::zero() ? -1 : static_cast<int>(std::min<long>(ms, 1 << 30));
    count = epoll_wait(epoll_.get(), events_.data(), kEventsPerTurn, limit);
  }
  if (count < 0) {
    if (errno == EINTR) { return 0; }
    throw SystemError(errno, "wait for events");
  }
  return count;
}

int Reactor::watch(FdWatcher& watcher, int fd, int operation, std::uint32_t events) {
  epoll_event registration{};
  registration.events = events;
  registration.data.ptr = &watcher;
  return epoll_ctl(epoll_.get(), operation, fd, &registration) < 0 ? errno : 0;
}

void Reactor::unwatch(const FdWatcher& watcher, int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  for (std::size_t i = next_event_; i < event_count_; ++i) {
    if (events_[i].data.ptr == &watcher) { events_[i].data.ptr = nullptr; }
  }
}

void Reactor::resume_posted() {
  resuming_.swap(posted_);
  for (std::size_t i = 0; i < resuming_.size(); ++i) {
    if (const auto frame = std::exchange(resuming_[i], nullptr)) { frame.resume(); }
  }
  resuming_.clear();
}

}  // namespace handoff
