// SPDX-License-Identifier: MIT
#include "wire/codec.hpp"

#include <algorithm>

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

/// JSON has newlines only between its tokens, where they can go.
void FrameWriter::finish_line() {
  const auto start = out_.begin() + static_cast<std::ptrdiff_t>(start_);
  out_.erase(std::remove(start, out_.end(), '\n'), out_.end());
  out_.push_back('\n');
}

void append_frame(std::string& out, std::string_view body) {
  FrameWriter writer(out);
  out.append(body);
  writer.finish();
}

ReceiveBuffer::ReceiveBuffer(std::size_t capacity)
    : storage_(std::make_unique_for_overwrite<char[]>(capacity + kPadding)), capacity_(capacity) {
  // The parser reads the padding and ignores it; its value is set for memory checkers only.
  std::memset(storage_.get() + capacity, 0, kPadding);
}

void ReceiveBuffer::consume(std::size_t count) {
  start_ += count;
  if (start_ == end_) clear();
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
  if (!bytes.empty()) std::memcpy(storage_.get() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

void ReceiveBuffer::relocate(std::size_t capacity) {
  ReceiveBuffer larger(capacity);
  const std::size_t used = end_ - start_;
  if (used != 0) std::memcpy(larger.storage_.get(), storage_.get() + start_, used);
  larger.end_ = used;
  *this = std::move(larger);
}

}  // namespace handoff
