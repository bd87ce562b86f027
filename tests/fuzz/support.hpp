// SPDX-License-Identifier: MIT
#pragma once

#include <sanitizer/asan_interface.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <span>
#include <string_view>

#include "wire/receive_buffer.hpp"

/// What the fuzz targets share. An input is the bytes as they would arrive, with nothing around
/// them; all else that a target varies is drawn from a hash of it, so that a crash repeats.
namespace handoff::fuzz {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

inline std::string_view text_of(std::span<const char> bytes) {
  return {bytes.data(), bytes.size()};
}

/// Ends the run as a crash where `holds` is false. The stack says where.
inline void check(bool holds, const char* what) {
  if (holds) { return; }
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

inline void check_readable(std::string_view text) {
  if (text.empty()) { return; }
  check(__asan_region_is_poisoned(const_cast<char*>(text.data()), text.size()) == nullptr,
        "a view can be read");
}

inline bool lies_within(std::string_view part, std::string_view whole) {
  return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

/// Cuts an input in pieces: many are short, some are not.
class Pieces {
 public:
  explicit Pieces(std::string_view bytes) : rest_(bytes) {
    std::uint32_t hash = 2166136261;
    for (const char byte : bytes) { hash = (hash ^ static_cast<unsigned char>(byte)) * 16777619; }
    random_.seed(hash);
  }
  bool done() const { return rest_.empty(); }
  std::size_t below(std::size_t limit) { return random_() % limit; }
  std::string_view next() {
    const std::size_t most = std::size_t{1} << below(12);
    const std::string_view piece = rest_.substr(0, 1 + below(most));
    rest_.remove_prefix(piece.size());
    return piece;
  }

 private:
  std::string_view rest_;
  std::minstd_rand random_;
};

/// A buffer that is watched: whatever was put into it, it has at most four times the storage that
/// this needed at its fullest, and kPadding readable bytes behind.
class WatchedBuffer {
 public:
  explicit WatchedBuffer(std::size_t capacity) : buffer_(capacity), allowed_(capacity) {}

  ReceiveBuffer& get() { return buffer_; }
  std::string_view text() { return text_of(buffer_.bytes()); }

  void append(std::string_view piece) {
    buffer_.append(piece);
    look();
  }
  /// As from a socket: into whatever room there is.
  void receive(std::string_view piece) {
    while (!piece.empty()) {
      buffer_.make_room();
      const std::size_t count = std::min(piece.size(), buffer_.room().size());
      check(count > 0, "there is room after it was made");
      std::copy_n(piece.begin(), count, buffer_.room().begin());
      buffer_.commit(count);
      piece.remove_prefix(count);
      look();
    }
  }

 private:
  void look() {
    const std::size_t held = text().size();
    allowed_ = std::max(allowed_, 4 * held);
    check(held + buffer_.room().size() <= allowed_, "storage grows by what has come alone");
    check_readable({text().data(), held + ReceiveBuffer::kPadding});
  }

  ReceiveBuffer buffer_;
  std::size_t allowed_;
};

}  // namespace handoff::fuzz
