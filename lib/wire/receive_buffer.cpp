// SPDX-License-Identifier: MIT
#include "wire/receive_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace handoff {

ReceiveBuffer::ReceiveBuffer(std::size_t capacity)
    : storage_(std::make_unique_for_overwrite<char[]>(capacity + kPadding)), capacity_(capacity) {
  // The parser reads the padding and ignores it; its value is set for memory checkers only.
  std::memset(storage_.get() + capacity, 0, kPadding);
}

void ReceiveBuffer::consume(std::size_t count) {
  start_ += count;
  if (start_ == end_) { clear(); }
}

void ReceiveBuffer::make_room() {
  const std::size_t used = end_ - start_;
  if (used * 2 > capacity_) {
    relocate(capacity_ * 2);
  } else if (start_ != 0) {
    std::memmove(storage_.get(), storage_.get() + start_, used);
    start_ = 0;
    end_ = used;
  }
}

void ReceiveBuffer::append(std::span<const char> bytes) {
  const std::size_t used = end_ - start_;
  if (capacity_ - end_ < bytes.size()) {
    const bool fits = (used + bytes.size()) * 2 <= capacity_;
    relocate(fits ? capacity_ : std::max(capacity_ * 2, used + bytes.size()));
  }
  if (!bytes.empty()) { std::memcpy(storage_.get() + end_, bytes.data(), bytes.size()); }
  end_ += bytes.size();
}

void ReceiveBuffer::relocate(std::size_t capacity) {
  ReceiveBuffer larger(capacity);
  const std::size_t used = end_ - start_;
  if (used != 0) { std::memcpy(larger.storage_.get(), storage_.get() + start_, used); }
  larger.end_ = used;
  *this = std::move(larger);
}

std::string padded(std::string_view text) {
  std::string copy;
  copy.reserve(text.size() + ReceiveBuffer::kPadding);
  copy.append(text).append(ReceiveBuffer::kPadding, ' ');
  return copy;
}

}  // namespace handoff
