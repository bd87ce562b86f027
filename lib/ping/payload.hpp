// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "wire/reply.hpp"

namespace handoff {

/// What probes carry as params: a JSON string that starts with the number of its probe, so that a
/// reply to another one is noticed. One buffer serves all probes.
class PingPayload {
 public:
  explicit PingPayload(std::size_t size);

  std::size_t size() const { return json_.size() - 2; }
  /// The params of a probe as JSON. Valid until the next call.
  std::string_view json(std::uint64_t seq);
  /// What is wrong with the reply to a probe, or nothing.
  std::string problem_of(const Reply& reply, std::uint64_t seq);
  /// Which probe a reply answers, when its result says so in full.
  std::optional<std::uint64_t> number_in(const Reply& reply);

 private:
  std::string json_;
};

}  // namespace handoff
