// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <handoff/wire/limits.hpp>

namespace handoff {

/// Guesses how long the next reply of a connection will be, from the last ones. A call that is
/// executed counts in the connection's budget with this length. A call cannot be stopped once its
/// reply arrives, so the only way to keep a hundred long replies from arriving together is not to
/// have begun a hundred calls.
///
/// At first the guess is so high that kFirstCalls calls use the whole budget. A longer reply raises
/// it at once to its own length, and each shorter reply halves it. It is also halved when long
/// calls hold up others, because each of them may be waiting for one of those others.
class ReplyEstimate {
 public:
  static constexpr std::size_t kFirstCalls = limits::kFirstCalls;
  static constexpr std::size_t kLeast = 1024;

  /// `budget` is that of the connection and `longest` the maximal length of a reply, both in bytes.
  ReplyEstimate(std::size_t budget, std::size_t longest)
      : bytes_(static_cast<std::uint32_t>(std::min(budget / kFirstCalls, longest))) {}

  /// Returns the guess, in bytes.
  std::size_t bytes() const { return bytes_; }
  /// Says that a reply of `size` bytes has arrived.
  void reply_came(std::size_t size) {
    bytes_ = static_cast<std::uint32_t>(std::max({size, std::size_t{bytes_} / 2, kLeast}));
  }
  /// Says that calls have held up others for a while.
  void calls_take_long() { bytes_ = std::max<std::uint32_t>(bytes_ / 2, kLeast); }

 private:
  std::uint32_t bytes_;
};

}  // namespace handoff
