// SPDX-License-Identifier: MIT
#include "wire/frame_decoder.hpp"

namespace handoff {

DecodedFrame decode_line(std::span<const char> bytes, std::uint32_t max_body) {
  const std::string_view text(bytes.data(), bytes.size());
  const std::size_t newline = text.find('\n');
  if (newline == std::string_view::npos) {
    const std::size_t size = text.size() - (text.ends_with('\r') ? 1 : 0);
    if (size > max_body) return {DecodedFrame::Outcome::oversized, {}, size};
    return {DecodedFrame::Outcome::partial, {}, 0};
  }
  std::string_view body = text.substr(0, newline);
  if (body.ends_with('\r')) body.remove_suffix(1);
  if (body.size() > max_body) return {DecodedFrame::Outcome::oversized, {}, body.size()};
  return {DecodedFrame::Outcome::complete, body, newline + 1};
}

}  // namespace handoff
