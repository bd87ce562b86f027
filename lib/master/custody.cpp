// SPDX-License-Identifier: MIT
#include "master/custody.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "os/descriptor_limit.hpp"
#include "os/fd.hpp"
#include "pass/channel.hpp"

namespace handoff {
namespace {

/// The descriptors that connections cannot have: those of the master itself, of what it starts, and
/// of its control clients.
constexpr std::size_t kReserved = 64;
constexpr std::size_t kReservedPerWorker = 2;

/// The copies that are kept before the limit is read again.
constexpr std::size_t kKeptAtOnce = 64;

constexpr auto kPause = std::chrono::milliseconds(100);

/// Returns how many copies may be kept if connections can have `all` descriptors.
std::size_t copies_within(std::size_t all) {
  const std::size_t in_hand = std::max(4 * channel::kMaxDescriptors, all / 8);
  return all > in_hand ? all - in_hand : 0;
}

}  // namespace

void Custody::set_workers(std::size_t count) {
  reserved_ = kReserved + kReservedPerWorker * count;
}

std::size_t Custody::capacity() const {
  const std::size_t limit = descriptor_limit();
  return limit > reserved_ ? limit - reserved_ : 0;
}

std::size_t Custody::capacity_in_hand() const {
  const std::size_t all = capacity();
  return all - copies_within(all);
}

/// A few are let in under any limit, because otherwise nothing would ever move; this also spares
/// the system call when the master has little to do.
bool Custody::has_room() const {
  if (unread_ >= kMaxUnread) { return false; }
  return descriptors_ < channel::kMaxDescriptors ||
         descriptors_ + kept_ + channel::kMaxDescriptors < capacity();
}

/// The limit is read once for many connections, because that is a system call.
bool Custody::may_keep() {
  if (kept_ < surely_) { return true; }
  const std::size_t most = copies_within(capacity());
  if (kept_ >= most) {
    if (!unkept_told_) {
      tell_unkept(fmt::format("the limit of {} open files has room for {} copies (raise it)",
                              descriptor_limit(), most));
    }
    return false;
  }
  surely_ = std::min(most, kept_ + kKeptAtOnce);
  return true;
}

void Custody::tell_unkept(const std::string& why) {
  if (!std::exchange(unkept_told_, true) && on_unkept) { on_unkept(why); }
}

/// The limit is read again when there are many fewer copies: it may have been lowered.
void Custody::let_go() {
  --kept_;
  surely_ = std::min(surely_, kept_ + kKeptAtOnce);
}

Task<void> Custody::wait() {
  // The reference is a parameter of the local class's copy constructor, and none of the coroutine.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  struct Waiting {
    std::deque<Event*>& all;
    Event event;
    ~Waiting() { std::erase(all, &event); }
  };
  const bool was_full = !has_room();
  if (on_no_room) { on_no_room(); }
  if (was_full && has_room()) { co_return; }
  Waiting waiting{waiting_, Event(reactor_)};
  waiting_.push_back(&waiting.event);
  const EventTimeout alarm(reactor_, waiting.event, reactor_.now() + kPause);
  co_await waiting.event;
}

void Custody::release(std::size_t descriptors, std::size_t unread, std::uint64_t passed_id) {
  descriptors_ -= descriptors;
  unread_ -= unread;
  if (passed_id != 0 && on_passed_on) { on_passed_on(passed_id); }
  if (waiting_.empty() || !has_room()) { return; }
  waiting_.front()->set();
  waiting_.pop_front();
}

}  // namespace handoff
