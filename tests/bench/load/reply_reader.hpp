// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace load {

/// A longer reply is none.
constexpr std::uint64_t kMaxReply = 64U << 20;

/// Whether the text begins with this JSON, white space aside.
inline bool begins_with(std::string_view text, std::string_view json) {
  std::size_t matched = 0;
  for (const char c : text) {
    if (matched == json.size()) break;
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') continue;
    if (c != json[matched++]) return false;
  }
  return matched == json.size();
}

inline bool is_success(std::string_view reply) {
  return begins_with(reply, R"({"out":")") && !begins_with(reply, R"({"out":"error")");
}

/// Cuts what arrives into frames. Of each body, no more than the beginning is kept.
class ReplyReader {
 public:
  /// Calls `on_reply` with the beginning of each body that is complete now.
  template <typename OnReply>
  void take(std::string_view bytes, const OnReply& on_reply) {
    while (!bytes.empty()) {
      const std::uint64_t whole = taken_ < kHeader ? kHeader : size_;
      const auto part = bytes.substr(0, whole - taken_);
      if (taken_ < kept_.size()) part.copy(&kept_[taken_], kept_.size() - taken_);
      taken_ += part.size();
      bytes.remove_prefix(part.size());
      if (taken_ == kHeader) size_ = kHeader + body_size();
      if (taken_ < kHeader || taken_ < size_) continue;
      on_reply({kept_.data() + kHeader, std::min(taken_, kept_.size()) - kHeader});
      taken_ = 0;
    }
  }

 private:
  static constexpr std::size_t kHeader = 4;

  std::uint64_t body_size() const {
    std::uint32_t size = 0;
    for (std::size_t i = kHeader; i-- > 0;) size = size << 8 | static_cast<unsigned char>(kept_[i]);
    if (size > kMaxReply) throw std::runtime_error(fmt::format("a reply of {} bytes", size));
    return size;
  }

  std::array<char, 256> kept_;  ///< of the frame, its header first
  std::uint64_t taken_ = 0;     ///< bytes of the frame
  std::uint64_t size_ = 0;      ///< of the frame, once the header is complete
};

}  // namespace load
