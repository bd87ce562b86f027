// SPDX-License-Identifier: MIT
#include "wire/start.hpp"

#include <algorithm>
#include <string_view>

#include "wire/dialect.hpp"
#include "wire/errors.hpp"
#include "wire/frame_writer.hpp"
#include "wire/framing.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

/// The bytes that are enough to tell text from a length, and HTTP from other text.
constexpr std::size_t kTelling = frame::kHeaderSize;

/// The first four bytes of each HTTP method, and of the preface of HTTP/2.
constexpr std::string_view kHttpMethods[] = {"GET ", "POST", "PUT ", "HEAD", "OPTI",
                                             "DELE", "PATC", "CONN", "TRAC", "PRI "};

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char byte) {
    return (byte >= 0x20 && byte < 0x7F) || byte == '\n' || byte == '\r' || byte == '\t';
  });
}

std::size_t count_blanks(std::string_view text) {
  return std::min(text.find_first_not_of(" \t\r\n"), text.size());
}

bool looks_like_http(std::string_view text) {
  return std::any_of(std::begin(kHttpMethods), std::end(kHttpMethods),
                     [text](std::string_view method) { return text.starts_with(method); });
}

bool has_newline(std::string_view text) {
  return text.find('\n') != std::string_view::npos;
}

}  // namespace

JudgedStart judge_start(std::span<const char> bytes, Framing expected, MoreBytes more) {
  const bool complete = more == MoreBytes::none_follow;
  const std::string_view text(bytes.data(), bytes.size());
  if (expected != Framing::lines) {
    if (text.size() < kTelling) {
      if (!complete) { return {Start::undecided}; }
      // A line can be that short.
      const bool is_line = expected == Framing::unknown && is_text(text) && has_newline(text);
      if (!is_line) { return {Start::length}; }
    } else if (expected == Framing::length ? !looks_like_http(text)
                                           : !is_text(text.substr(0, kTelling))) {
      return {Start::length};
    }
  }
  const std::size_t blanks = count_blanks(text);
  const std::string_view line = text.substr(blanks);
  if (line.starts_with('{') || line.starts_with('[')) { return {Start::lines, blanks}; }
  // Which answer a stranger gets must not depend on how its bytes arrive.
  const bool can_be_answered = line.size() >= kTelling || has_newline(line) || complete;
  if (!line.empty() && can_be_answered) { return {Start::stranger, blanks}; }
  if (complete) { return {Start::lines, blanks}; }
  // Four blanks still say that this is text.
  return {Start::undecided, blanks - std::min(blanks, kTelling)};
}

ErrorCode append_answer_to_stranger(std::string& out, std::span<const char> bytes) {
  std::string_view text(bytes.data(), bytes.size());
  text.remove_prefix(count_blanks(text));
  if (looks_like_http(text)) {
    constexpr std::string_view kBody =
        "This port does not speak HTTP. Call it with: rpc-call ADDR --list (see handoff-wire(7))\n";
    out.append("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ")
        .append(std::to_string(kBody.size()))
        .append("\r\nConnection: close\r\n\r\n")
        .append(kBody);
    return ErrorCode();
  }
  FrameWriter writer(out, Framing::lines);
  append_error(out, Dialect::article, ErrorCode::parse_error,
               "this port takes requests in JSON, and a first line must begin with { or [; "
               "call it with: rpc-call ADDR --list (see handoff-wire(7))",
               {});
  writer.finish();
  return ErrorCode::parse_error;
}

}  // namespace handoff
