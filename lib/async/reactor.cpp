// SPDX-License-Identifier: MIT
#include "async/reactor.hpp"

#include <algorithm>
#include <cassert>
#include <ctime>

#include "os/error.hpp"

namespace handoff {

TimePoint deadline_after(TimePoint now, Duration duration) {
  if (duration <= Duration::zero() || duration > kNever - now) return kNever;
  return now + duration;
}

Reactor::Reactor() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_.valid()) throw SystemError(errno, "use epoll_create1");
}

Reactor::~Reactor() {
  destroy_roots();
}

void Reactor::spawn(Task<void> task) {
  auto frame = task.release();
  frame.promise().owner = this;
  roots_.push_back(frame);
  frame.promise().root_index = static_cast<std::uint32_t>(roots_.size() - 1);
  post(frame);
}

void Reactor::root_finished(std::coroutine_handle<> frame, std::exception_ptr error) {
  using Promise = Task<void>::promise_type;
  const auto index =
      std::coroutine_handle<Promise>::from_address(frame.address()).promise().root_index;
  roots_[index] = roots_.back();
  std::coroutine_handle<Promise>::from_address(roots_[index].address()).promise().root_index =
      index;
  roots_.pop_back();
  frame.destroy();
  if (error && !error_) error_ = std::move(error);
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
  spawn([](Task<void> task, bool& finished) -> Task<void> {
    co_await std::move(task);
    finished = true;
  }(std::move(main), done_));
  try {
    while (!done_ && !error_) turn();
  } catch (...) {
    destroy_roots();  // they use what the caller destroys before us
    throw;
  }
  destroy_roots();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Reactor::unpost(std::coroutine_handle<> frame) {
  std::erase(posted_, frame);
  std::erase(yielding_, frame);
  std::replace(resuming_.begin(), resuming_.end(), frame, std::coroutine_handle<>());
}

void Reactor::turn() {
  do_posted();
  if (done_ || error_) return;
  const int count = wait_for_events();
  now_ = Clock::now();
  dispatch_events(count);
  if (is_timer_due()) {
    catch_up();
    fire_timers();
  }
  posted_.insert(posted_.end(), yielding_.begin(), yielding_.end());
  yielding_.clear();
  resume_posted();
}

bool Reactor::is_timer_due() const {
  return !timers_.empty() && timers_.front().armed <= now_;
}

/// Handles everything that had happened by now(), so that no timer is ahead of it. The wait before
/// does not tell: a process that was stopped meanwhile gets EINTR and no events, one that is
/// stopped right after it gets too few, and no wait reports more than kEventsPerTurn.
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
  for (next_event_ = 0; next_event_ < event_count_;) dispatch(events_[next_event_++]);
  event_count_ = next_event_ = 0;
}

/// What makes more of itself does not keep the loop from looking at the kernel.
void Reactor::do_posted() {
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds && poll_all(); ++round) {
    resume_posted();
    if (done_ || error_) return;
  }
}

bool Reactor::poll_all() {
  bool any = false;
  for (std::size_t i = 0; i < pollers_.size(); ++i) any = pollers_[i]->poll() || any;
  return any || !posted_.empty();
}

int Reactor::wait_for_events() {
  constexpr TimePoint kNow = TimePoint::min();
  const TimePoint next = timers_.empty() ? kNever : timers_.front().armed;
  if (!posted_.empty() || !yielding_.empty()) return wait_until(kNow);
  if (pollers_.empty()) return wait_until(next);
  for (Poller* poller : pollers_) poller->set_waiting(true);
  const int count = wait_until(poll_all() ? kNow : next);
  for (Poller* poller : pollers_) poller->set_waiting(false);
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
    // Linux 5.11, and some seccomp profiles refuse it; without it, deadlines are kept to the
    // millisecond.
    if (count < 0 && is_refused(errno)) precise_wait_ = false;
  }
  if (count < 0 && !(precise_wait_ && timeout > Duration::zero())) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
    const int limit =
        timeout < Duration::zero() ? -1 : static_cast<int>(std::min<long>(ms, 1 << 30));
    count = epoll_wait(epoll_.get(), events_.data(), kEventsPerTurn, limit);
  }
  if (count < 0) {
    if (errno == EINTR) return 0;
    throw SystemError(errno, "wait for events");
  }
  return count;
}

void Reactor::dispatch(const epoll_event& event) {
  if (event.data.ptr == nullptr) return;  // destroyed by one of its predecessors in this turn
  auto& readiness = *static_cast<Readiness*>(event.data.ptr);
  constexpr std::uint32_t kBroken = EPOLLERR | EPOLLHUP;
  if ((event.events & kBroken) != 0) readiness.hung_up_ = true;
  if ((event.events & EPOLLRDHUP) != 0) readiness.ended_ = true;
  if ((event.events & EPOLLPRI) != 0) readiness.stops_short_ = true;
  std::uint32_t ready = event.events & (EPOLLIN | EPOLLOUT);
  if ((event.events & EPOLLRDHUP) != 0) ready |= EPOLLIN;
  if ((event.events & kBroken) != 0) ready |= EPOLLIN | EPOLLOUT;
  readiness.ready_.add(ready);

  // Who is posted already is resumed in this turn.
  const std::uint32_t wakes = ready & ~readiness.posted_.bits();
  const bool wakes_reader = readiness.reader_ && (wakes & EPOLLIN) != 0;
  const bool wakes_writer = readiness.writer_ && (wakes & EPOLLOUT) != 0;
  // The first may destroy what the second belongs to; posted, it is taken back in that case.
  if (wakes_reader && wakes_writer) readiness.post_waiter(EPOLLOUT);
  if (wakes_reader) {
    readiness.reader_.resume();
  } else if (wakes_writer) {
    readiness.writer_.resume();
  }
}

void Reactor::fire_timers() {
  while (!timers_.empty() && timers_.front().armed <= now_) {
    Timer& timer = *timers_.front().timer;
    if (timer.due_ > now_) {
      timers_.front().armed = timer.due_;
      sift_down(0);
      continue;
    }
    remove_timer(0);
    timer.on_timer();
  }
}

void Reactor::resume_posted() {
  resuming_.swap(posted_);
  for (std::size_t i = 0; i < resuming_.size(); ++i) {
    if (const auto frame = std::exchange(resuming_[i], nullptr)) frame.resume();
  }
  resuming_.clear();
}

void Reactor::place_timer(std::size_t index, TimerEntry entry) {
  timers_[index] = entry;
  entry.timer->index_ = static_cast<std::uint32_t>(index);
}

void Reactor::sift_up(std::size_t index) {
  const TimerEntry entry = timers_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (timers_[parent].armed <= entry.armed) break;
    place_timer(index, timers_[parent]);
    index = parent;
  }
  place_timer(index, entry);
}

void Reactor::sift_down(std::size_t index) {
  const TimerEntry entry = timers_[index];
  for (;;) {
    std::size_t child = 2 * index + 1;
    if (child >= timers_.size()) break;
    if (child + 1 < timers_.size() && timers_[child + 1].armed < timers_[child].armed) ++child;
    if (entry.armed <= timers_[child].armed) break;
    place_timer(index, timers_[child]);
    index = child;
  }
  place_timer(index, entry);
}

void Reactor::remove_timer(std::size_t index) {
  timers_[index].timer->index_ = Timer::kNotArmed;
  const TimerEntry last = timers_.back();
  timers_.pop_back();
  if (index == timers_.size()) return;
  place_timer(index, last);
  sift_up(index);
  sift_down(last.timer->index_);
}

void Timer::set(TimePoint due) {
  if (due == kNever) return cancel();
  due_ = due;
  if (index_ == kNotArmed) {
    reactor_.timers_.push_back({due, this});
    index_ = static_cast<std::uint32_t>(reactor_.timers_.size() - 1);
    reactor_.sift_up(index_);
  } else if (due < reactor_.timers_[index_].armed) {
    reactor_.timers_[index_].armed = due;
    reactor_.sift_up(index_);
  }
}

void Timer::cancel() {
  if (index_ != kNotArmed) reactor_.remove_timer(index_);
}

void Readiness::unwatch() {
  if (std::exchange(watched_, Events()).none()) return;
  epoll_ctl(reactor_->epoll_.get(), EPOLL_CTL_DEL, fd_, nullptr);
  for (std::size_t i = reactor_->next_event_; i < reactor_->event_count_; ++i) {
    if (reactor_->events_[i].data.ptr == this) reactor_->events_[i].data.ptr = nullptr;
  }
}

/// Returns 0, or the errno of an epoll that can't take it.
int Readiness::watch(std::uint32_t event) {
  const std::uint32_t wanted = watched_.bits() | event;
  if (wanted == watched_.bits()) return 0;
  epoll_event registration{};
  switch (wake_) {
    case Wake::all: registration.events = wanted | EPOLLPRI | EPOLLRDHUP | EPOLLET; break;
    case Wake::one: registration.events = wanted | EPOLLEXCLUSIVE | EPOLLET; break;
    case Wake::hang_up: registration.events = EPOLLRDHUP | EPOLLET; break;
  }
  registration.data.ptr = this;
  const int operation = watched_.none() ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(reactor_->epoll_.get(), operation, fd_, &registration) < 0) {
    if (errno != EPERM) return errno;
    hung_up_ = true;  // a regular file: always ready
    return 0;
  }
  watched_.add(wanted);
  return 0;
}

void Readiness::post_waiter(std::uint32_t event) {
  if (posted_.has(event)) return;
  posted_.add(event);
  reactor_->post(waiter(event));
}

void Readiness::interrupt() {
  for (const std::uint32_t event : {EPOLLIN, EPOLLOUT}) {
    if (!waiter(event)) continue;
    interrupted_.add(event);
    post_waiter(event);
  }
}

bool Readiness::Awaiter::await_ready() {
  // Every registration reports a hang-up.
  const int error = readiness_.watch(only_hang_up_ ? EPOLLIN : event_);
  if (only_hang_up_) return false;
  if (error != 0) throw SystemError(error, "watch a descriptor");
  if (readiness_.hung_up_ || (readiness_.ended_ && event_ == EPOLLIN)) return true;
  const bool ready = readiness_.ready_.has(event_);
  readiness_.ready_.remove(event_);
  return ready;
}

void Readiness::Awaiter::await_suspend(std::coroutine_handle<> frame) {
  assert(!readiness_.waiter(event_));
  readiness_.interrupted_.remove(event_);
  frame_ = readiness_.waiter(event_) = frame;
}

void Readiness::Awaiter::leave() {
  readiness_.posted_.remove(event_);
  readiness_.waiter(event_) = nullptr;
  frame_ = nullptr;
}

bool Readiness::Awaiter::await_resume() {
  if (!frame_) return true;
  leave();
  // What happened besides an interruption is not reported again: the next wait must find it.
  if (readiness_.interrupted_.has(event_)) return false;
  readiness_.ready_.remove(event_);
  return true;
}

Readiness::Awaiter::~Awaiter() {
  if (!frame_) return;
  if (readiness_.posted_.has(event_)) readiness_.reactor_->unpost(frame_);
  leave();
}

}  // namespace handoff
