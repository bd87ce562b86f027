// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wire/reply.hpp"

namespace handoff {

/// Makes the params of probes: a JSON string that begins with the number of its probe, so that a
/// reply to another probe is recognised. One buffer serves all probes of a target.
class PingPayload {
 public:
  /// `size` is the length of the string in bytes, without its quotes.
  explicit PingPayload(std::size_t size);

  /// Returns the length of the string in bytes, without its quotes.
  std::size_t size() const { return json_.size() - 2; }
  /// Returns the params of a probe as JSON. Valid until the next call of any function here.
  std::string_view json(std::uint64_t seq);
  /// Returns what is wrong with `reply` as the reply to the probe `seq`; empty if nothing is.
  std::string problem_of(const Reply& reply, std::uint64_t seq);
  /// Returns the number of the probe that `reply` answers, if its result is exactly the params of a
  /// probe and they are long enough for a whole number.
  std::optional<std::uint64_t> number_in(const Reply& reply);

 private:
  std::string json_;
};

}  // namespace handoff
