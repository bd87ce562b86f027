// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <handoff/wire/errors.hpp>

#include "wire/framing.hpp"

namespace handoff {

/// The replies to a JSON-RPC batch, which go back to the client as one array in one frame.
class BatchReplies {
 public:
  /// `limit` is the most bytes that a frame may have. Once the replies exceed it, they are dropped.
  explicit BatchReplies(std::size_t limit) : limit_(limit) {}

  /// Adds a reply, which is one JSON object.
  void add(std::string_view body);
  /// Appends the frame to `out`: the replies, or an error that says that they are too long. Appends
  /// nothing if there are no replies, as for a batch of notifications. Returns the code of the
  /// error, or 0. Call it once, when no call is under way.
  ErrorCode finish(std::string& out, Framing framing);
  /// Returns the number of bytes of the replies.
  std::size_t held() const { return bodies_.size(); }

  /// Counts a call of the batch that takes time.
  void call_begins() { ++calls_; }
  /// Counts the end of such a call. Returns whether no other is under way.
  bool call_ends() { return --calls_ == 0; }
  /// Returns whether calls of the batch are under way.
  bool has_calls() const { return calls_ > 0; }

 private:
  std::size_t limit_;
  std::string bodies_;  ///< each followed by a comma
  bool is_too_long_ = false;
  std::size_t calls_ = 0;  ///< the number of calls under way
};

}  // namespace handoff
