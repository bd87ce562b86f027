// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>

#include <handoff/wire/limits.hpp>

namespace handoff {

/// Counts the bytes that clients make this process hold: requests that are not yet answered, the
/// output of methods as it arrives, and replies that a client has not taken. All threads of a
/// process share one budget, and nothing in it waits or locks.
///
/// The budget only counts, and answers one question: Share::may_start_call(). Once it is used up,
/// the answer is no for every holder but one. Without this exemption, connections that each wait
/// for the rest of their request could wait for each other for ever.
class MemoryBudget {
 public:
  static constexpr std::size_t kDefaultLimit = limits::kMaxMemory;

  /// Makes a budget of `limit` bytes.
  explicit MemoryBudget(std::size_t limit = kDefaultLimit) : limit_(limit) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  std::size_t limit() const { return limit_; }
  /// Returns the number of bytes that all holders have now.
  std::size_t held() const { return held_.load(std::memory_order_relaxed); }
  bool has_room() const { return held() < limit_; }

  /// The part of the budget that one holder uses, which is a connection or a command's output. The
  /// destructor gives it back. One thread at a time may use it; the budget must outlive it.
  class Share {
   public:
    explicit Share(MemoryBudget& budget) : budget_(budget) {}
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    ~Share();

    std::size_t bytes() const { return state_ / 2; }
    /// Sets the number of bytes that the holder has now. If the number has not changed, this costs
    /// a comparison.
    void set(std::size_t bytes) {
      if (2 * bytes != state_) { change(bytes); }
    }
    /// Returns whether the holder may start another call: the budget has room, or this holder is
    /// the one that is exempt. A holder becomes exempt when it asks while no other is, and stays so
    /// until it holds nothing, the budget has room, or it waits for its client.
    bool may_start_call() { return budget_.has_room() || is_exempt() || become_exempt(); }
    /// Says that the holder waits for its client to read, so that another holder may be exempt
    /// meanwhile.
    void wait_for_client() {
      if (is_exempt()) { give_exemption_back(); }
    }

   private:
    /// Returns whether this is the holder that the budget exempts.
    bool is_exempt() const { return state_ % 2 != 0; }
    void change(std::size_t bytes);
    bool become_exempt();
    void give_exemption_back();

    MemoryBudget& budget_;
    /// Twice the number of bytes, plus one while the holder is exempt: one word, because every idle
    /// connection has one of these.
    std::size_t state_ = 0;
  };

 private:
  std::size_t limit_;
  std::atomic<std::size_t> held_ = 0;
  std::atomic<bool> has_exempted_ = false;
};

}  // namespace handoff
