// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace load {

/// A longer reply is none.
constexpr std::uint64_t kMaxReply = 64U << 20;

/// Whether a reply that begins so, of either protocol, is no error.
bool is_success(std::string_view reply);

/// Cuts what arrives into frames. Of each, no more than the beginning is kept.
class FrameReader {
 public:
  /// Takes bytes up to the end of a reply, and no further. True when the reply is complete.
  bool take(std::string_view& bytes);

  /// The beginning of the body that is complete.
  std::string_view reply() const {
    return {kept_.data() + kHeader, std::min<std::uint64_t>(size_, kept_.size()) - kHeader};
  }

 private:
  static constexpr std::size_t kHeader = 4;

  std::uint64_t body_size() const;

  std::array<char, 256> kept_;  ///< of the frame, its header first
  std::uint64_t taken_ = 0;     ///< bytes of the frame
  std::uint64_t size_ = 0;      ///< of the frame, once the header is complete
};

/// The same for HTTP's replies that have a Content-Length.
class HttpReader {
 public:
  bool take(std::string_view& bytes);
  std::string_view reply() const { return head_; }

 private:
  std::string head_;
  std::uint64_t body_left_ = 0;
  bool in_body_ = false;
  bool complete_ = false;
};

}  // namespace load
