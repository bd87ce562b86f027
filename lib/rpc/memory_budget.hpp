// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>

#include <handoff/wire/limits.hpp>

namespace handoff {

/// The bytes that clients make this process hold: requests that are not yet answered, the output of
/// methods as it arrives, and replies that a client has not taken. All threads of a process share
/// one, and nothing in it waits or locks.
///
/// The budget counts and decides nothing else. Once it is used up, a connection that asks
/// Share::may_start_call() hears no, all but one: with nobody to go on, those that each wait for
/// the rest of their request would wait for ever.
class MemoryBudget {
 public:
  static constexpr std::size_t kDefaultLimit = limits::kMaxMemory;

  /// `limit` is in bytes.
  explicit MemoryBudget(std::size_t limit = kDefaultLimit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  std::size_t limit() const { return limit_; }
  std::size_t held() const { return held_.load(std::memory_order_relaxed); }
  bool has_room() const { return held() < limit_; }

  /// What one holder, a connection or a command's output, has of the budget, until this is
  /// destroyed. Used by one thread at a time; the budget must outlive it.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share();

    std::size_t bytes() const { return state_ / 2; }
    /// The holder has so many bytes now. Costs a comparison when that has not changed.
    void set(std::size_t bytes) {
      if (2 * bytes != state_) { change(bytes); }
    }
    /// Whether the budget has room, or this holder is the one that goes on without. It is that one
    /// from the first time that it hears so until it holds nothing, there is room, or it waits for
    /// its client.
    bool may_start_call() { return budget_.has_room() || is_exempt() || become_exempt(); }
    /// The holder waits for its client to read: another may go on meanwhile.
    void wait_for_client() {
      if (is_exempt()) { give_exemption_back(); }
    }

   private:
    /// Whether this is the one that the budget has exempted.
    bool is_exempt() const { return state_ % 2 != 0; }
    void change(std::size_t bytes);
    bool become_exempt();
    void give_exemption_back();

    MemoryBudget& budget_;
    /// Twice the bytes, and one more while it is exempt: every idle connection has one of these.
    std::size_t state_ = 0;
  };

 private:
  std::size_t limit_;
  std::atomic<std::size_t> held_ = 0;
  std::atomic<bool> has_exempted_ = false;
};

}  // namespace handoff
