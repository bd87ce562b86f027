// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <handoff/wire/limits.hpp>

namespace handoff {

/// How long the next reply of a connection may be, guessed from its last ones: what a call that is
/// under way counts for in the connection's budget. A call can't be stopped when its reply comes,
/// so that the only way to keep a hundred long replies from coming together is not to have begun
/// a hundred calls.
///
/// The guess is high at first, so high that kFirstCalls use the whole budget. It rises at once to
/// the length of a longer reply, and is halved by each shorter one; also when calls that take long
/// hold up others, for it may be that each of them waits for the others.
class ReplyEstimate {
 public:
  static constexpr std::size_t kFirstCalls = limits::kFirstCalls;
  static constexpr std::size_t kLeast = 1024;

  /// `budget` is the connection's, in bytes, and `longest` that of a reply.
  ReplyEstimate(std::size_t budget, std::size_t longest)
      : bytes_(static_cast<std::uint32_t>(std::min(budget / kFirstCalls, longest))) {}

  std::size_t bytes() const { return bytes_; }
  void reply_came(std::size_t size) {
    bytes_ = static_cast<std::uint32_t>(std::max({size, std::size_t{bytes_} / 2, kLeast}));
  }
  void calls_take_long() { bytes_ = std::max<std::uint32_t>(bytes_ / 2, kLeast); }

 private:
  std::uint32_t bytes_;
};

}  // namespace handoff
