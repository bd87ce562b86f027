// SPDX-License-Identifier: MIT
#include "wire/last_reply.hpp"

#include <cstddef>
#include <span>
#include <string_view>

#include "wire/bytes.hpp"

namespace handoff {
namespace {

constexpr std::string_view kMember = R"(,"last":true)";

/// How each reply of the article's dialect begins; those of JSON-RPC begin otherwise.
constexpr std::string_view kStart = R"({"out":)";

std::uint32_t length_at(const std::string& frames, std::size_t start) {
  return load_little_endian<std::uint32_t>(
      std::span<const char, frame::kHeaderSize>(frames.data() + start, frame::kHeaderSize));
}

/// Returns where the last frame begins.
std::size_t start_of_last_frame(const std::string& frames, Framing framing) {
  if (framing == Framing::lines) {
    const std::size_t newline = frames.rfind('\n', frames.size() - 2);
    return newline == std::string::npos ? 0 : newline + 1;
  }
  std::size_t start = 0;
  for (;;) {
    const std::size_t end = start + frame::kHeaderSize + length_at(frames, start);
    if (end >= frames.size()) { return start; }
    start = end;
  }
}

}  // namespace

void mark_last_reply(std::string& frames, Framing framing, std::uint32_t max_frame) {
  const std::size_t trailer = framing == Framing::lines ? 1 : 0;
  const std::size_t header = framing == Framing::lines ? 0 : frame::kHeaderSize;
  if (frames.size() < header + kStart.size() + trailer) { return; }
  const std::size_t start = start_of_last_frame(frames, framing);
  const std::size_t body = start + header;
  const std::size_t size = frames.size() - trailer - body + kMember.size();
  if (!std::string_view(frames).substr(body).starts_with(kStart) || size > max_frame) { return; }
  frames.insert(frames.size() - trailer - 1, kMember);
  if (header == 0) { return; }
  store_little_endian(std::span<char, frame::kHeaderSize>(frames.data() + start, header),
                      static_cast<std::uint32_t>(size));
}

}  // namespace handoff
