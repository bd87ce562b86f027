// SPDX-License-Identifier: MIT
#include "wire/frame_decoder.hpp"

namespace handoff {

DecodedFrame decode_line(std::span<const char> bytes, std::uint32_t max_body) {
  using Outcome = DecodedFrame::Outcome;
  const std::string_view text(bytes.data(), bytes.size());
  const std::size_t newline = text.find('\n');
  std::string_view body = text.substr(0, newline);
  if (body.ends_with('\r')) { body.remove_suffix(1); }
  const bool is_whole = newline != std::string_view::npos;
  const std::size_t size = is_whole ? newline + 1 : 0;
  if (body.size() > max_body) { return {Outcome::oversized, {}, size, body.size()}; }
  if (!is_whole) { return {Outcome::partial, {}, size, body.size()}; }
  return {Outcome::complete, body, size, body.size()};
}

}  // namespace handoff
