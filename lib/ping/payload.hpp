// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "wire/reply.hpp"

namespace handoff {

/// Makes the params of probes, and judges the replies. A ping carries a JSON string that begins
/// with the number of its probe and is answered by the same string, so that a reply to another
/// probe is recognised. A call of another method carries the same params each time, and every reply
/// but an error is a good one. One buffer serves all probes of a target.
class PingPayload {
 public:
  /// The params of `ping`: a string of `size` bytes, without its quotes.
  explicit PingPayload(std::size_t size);
  /// The params of another method, which are valid JSON.
  explicit PingPayload(std::string params) : kind_(Kind::fixed), json_(std::move(params)) {}

  /// Returns the length in bytes: that of the string without its quotes, or that of all the JSON.
  std::size_t size() const { return kind_ == Kind::fixed ? json_.size() : json_.size() - 2; }
  /// Returns the params of a probe as JSON. Valid until the next call of any function here.
  std::string_view json(std::uint64_t seq);
  /// Returns what is wrong with `reply` as the reply to the probe `seq`; empty if nothing is.
  std::string problem_of(const Reply& reply, std::uint64_t seq);
  /// Returns the number of the probe that `reply` answers, if its result is exactly the params of a
  /// probe and they are long enough for a whole number.
  std::optional<std::uint64_t> number_in(const Reply& reply);

 private:
  enum class Kind {
    numbered,  ///< a string that names its probe
    fixed,     ///< the params of any method
  };

  Kind kind_ = Kind::numbered;
  std::string json_;
};

}  // namespace handoff
