// SPDX-License-Identifier: MIT
#include "ping/payload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "os/parse_number.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

/// Longer params begin with this many digits; shorter ones are the last digits of the number.
constexpr std::size_t kMostDigits = 16;

}  // namespace

PingPayload::PingPayload(std::size_t size) : json_(size + 2, '"') {
  for (std::size_t i = 0; i < size; ++i) { json_[i + 1] = static_cast<char>('a' + i % 26); }
}

std::string_view PingPayload::json(std::uint64_t seq) {
  if (kind_ == Kind::fixed) { return json_; }
  for (std::size_t i = std::min(size(), kMostDigits); i > 0; --i, seq /= 10) {
    json_[i] = static_cast<char>('0' + seq % 10);
  }
  return json_;
}

std::string PingPayload::problem_of(const Reply& reply, std::uint64_t seq) {
  if (reply.is_error()) {
    const ErrorResult error = parse_error_result(reply.result);
    if (error.message.empty()) { return "an error reply"; }
    return fmt::format("{} (code {})", error.message, error.code);
  }
  if (kind_ == Kind::fixed) { return {}; }
  if (reply.out != "pong") { return fmt::format("the reply is '{}' and not 'pong'", reply.out); }
  if (reply.result == json(seq)) { return {}; }
  // A server may write the same string in another way, with escapes for example.
  const auto text = json_string(reply.result);
  if (text && *text == std::string_view(json_).substr(1, size())) { return {}; }
  return "the result is not the params that were sent";
}

std::optional<std::uint64_t> PingPayload::number_in(const Reply& reply) {
  if (kind_ == Kind::fixed || size() < kMostDigits || reply.result.size() != json_.size()) {
    return std::nullopt;
  }
  const std::string_view digits(reply.result.data() + 1, kMostDigits);
  const auto seq = parse_number<std::uint64_t>(digits);
  if (!seq || !problem_of(reply, *seq).empty()) { return std::nullopt; }
  return seq;
}

}  // namespace handoff
