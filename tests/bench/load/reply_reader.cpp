// SPDX-License-Identifier: MIT
#include "load/reply_reader.hpp"

#include <fmt/format.h>
#include <strings.h>

#include <charconv>
#include <stdexcept>
#include <utility>

namespace load {
namespace {

constexpr std::size_t kMaxHead = 16U << 10;

/// Whether the text begins with this JSON, white space aside.
bool begins_with(std::string_view text, std::string_view json) {
  std::size_t matched = 0;
  for (const char c : text) {
    if (matched == json.size()) { break; }
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n') { continue; }
    if (c != json[matched++]) { return false; }
  }
  return matched == json.size();
}

std::uint64_t content_length(std::string_view head) {
  constexpr std::string_view kName = "\r\ncontent-length: ";
  for (std::size_t i = 0; i + kName.size() < head.size(); ++i) {
    if (strncasecmp(&head[i], kName.data(), kName.size()) != 0) { continue; }
    std::uint64_t length = 0;
    std::from_chars(&head[i + kName.size()], head.data() + head.size(), length);
    return length;
  }
  throw std::runtime_error("a reply without Content-Length");
}

}  // namespace

bool is_success(std::string_view reply) {
  if (reply.starts_with("HTTP/1.1 200 ")) { return true; }
  return begins_with(reply, R"({"out":")") && !begins_with(reply, R"({"out":"error")");
}

bool FrameReader::take(std::string_view& bytes) {
  while (!bytes.empty()) {
    const std::uint64_t whole = taken_ < kHeader ? kHeader : size_;
    const auto part = bytes.substr(0, whole - taken_);
    if (taken_ < kept_.size()) { part.copy(&kept_[taken_], kept_.size() - taken_); }
    taken_ += part.size();
    bytes.remove_prefix(part.size());
    if (taken_ == kHeader) { size_ = kHeader + body_size(); }
    if (taken_ < kHeader || taken_ < size_) { continue; }
    taken_ = 0;
    return true;
  }
  return false;
}

std::uint64_t FrameReader::body_size() const {
  std::uint32_t size = 0;
  for (std::size_t i = kHeader; i-- > 0;) {
    size = size << 8 | static_cast<unsigned char>(kept_[i]);
  }
  if (size > kMaxReply) { throw std::runtime_error(fmt::format("a reply of {} bytes", size)); }
  return size;
}

bool HttpReader::take(std::string_view& bytes) {
  if (!in_body_) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    if (std::exchange(complete_, false)) { head_.clear(); }
    const std::size_t before = head_.size();
    head_ += bytes;
    const std::size_t end = head_.find(kEnd, before < kEnd.size() ? 0 : before - kEnd.size());
    if (end == std::string::npos) {
      if (head_.size() > kMaxHead) { throw std::runtime_error("a reply's head without an end"); }
      bytes = {};
      return false;
    }
    head_.resize(end + kEnd.size());
    bytes.remove_prefix(head_.size() - before);
    body_left_ = content_length(head_);
    in_body_ = true;
  }
  const std::size_t part = std::min<std::uint64_t>(bytes.size(), body_left_);
  bytes.remove_prefix(part);
  body_left_ -= part;
  in_body_ = body_left_ > 0;
  complete_ = !in_body_;
  return complete_;
}

}  // namespace load
