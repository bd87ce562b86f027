// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <handoff/wire/errors.hpp>

#include "wire/framing.hpp"

namespace handoff {

/// The replies to a batch of JSON-RPC, which go back in one frame.
class BatchReplies {
 public:
  /// `limit` is that of a frame's bytes. What is too long for one is not kept.
  explicit BatchReplies(std::size_t limit) : limit_(limit) {}

  void add(std::string_view body);
  /// Appends the frame to `out`: the replies, or an error that they are too long, whose code it
  /// returns; else 0. A batch of notifications is not answered at all.
  ErrorCode finish(std::string& out, Framing framing);
  /// Bytes that it holds.
  std::size_t held() const { return bodies_.size(); }

  void call_begins() { ++calls_; }
  /// Whether it was the last.
  bool call_ends() { return --calls_ == 0; }
  bool has_calls() const { return calls_ > 0; }

 private:
  std::size_t limit_;
  std::string bodies_;  ///< with a comma behind each
  bool is_too_long_ = false;
  std::size_t calls_ = 0;  ///< that have not ended
};

}  // namespace handoff
