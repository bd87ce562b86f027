// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

#include "fuzz/support.hpp"
#include "wire/frame_decoder.hpp"
#include "wire/frame_writer.hpp"
#include "wire/framing.hpp"
#include "wire/start.hpp"

/// A stream of lines means the same however it arrives, and is told from frames, and from what no
/// client sends, by its first bytes.
namespace handoff::fuzz {
namespace {

using Outcome = DecodedFrame::Outcome;

struct Lines {
  std::vector<std::string> bodies;
  std::string rest;  ///< what is no whole line
  bool oversized = false;

  bool operator==(const Lines&) const = default;
};

void take_lines(WatchedBuffer& buffer, std::uint32_t limit, Lines& lines) {
  for (;;) {
    const std::string_view text = buffer.text();
    const DecodedFrame line = decode_line(buffer.get().bytes(), limit);
    if (line.outcome == Outcome::oversized) {
      check(line.body_size > limit && line.body_size <= text.size(), "an oversized line is there");
      lines.oversized = true;
      return;
    }
    if (line.outcome == Outcome::partial) {
      const std::size_t size = text.size() - (text.ends_with('\r') ? 1 : 0);
      check(size <= limit && line.size == 0, "a partial line is within the limit");
      return;
    }
    check(lies_within(line.body, text), "a body lies in the bytes");
    check(line.body.find('\n') == std::string_view::npos, "a line has no newline in it");
    check(line.size > line.body.size() && text[line.size - 1] == '\n', "a line ends in a newline");
    lines.bodies.emplace_back(line.body);
    buffer.get().consume(line.size);
  }
}

Lines read_pieces(std::string_view input, std::uint32_t limit) {
  Lines lines;
  Pieces pieces(input);
  WatchedBuffer buffer(1 + pieces.below(64));
  while (!pieces.done()) {
    buffer.receive(pieces.next());
    if (!lines.oversized) { take_lines(buffer, limit, lines); }
  }
  lines.rest = buffer.text();
  return lines;
}

/// The same, said in another way.
Lines split(std::string_view input, std::uint32_t limit) {
  Lines lines;
  while (!lines.oversized && !input.empty()) {
    const auto length =
        static_cast<std::size_t>(std::find(input.begin(), input.end(), '\n') - input.begin());
    const bool has_return = length > 0 && input[length - 1] == '\r';
    const std::string_view body = input.substr(0, has_return ? length - 1 : length);
    lines.oversized = body.size() > limit;
    if (lines.oversized || length == input.size()) { break; }
    lines.bodies.emplace_back(body);
    input.remove_prefix(length + 1);
  }
  lines.rest = input;
  return lines;
}

void check_writing(const Lines& lines) {
  std::string out = "before\n";
  Lines expected;
  for (const std::string& body : lines.bodies) {
    FrameWriter writer(out, Framing::lines);
    const std::size_t half = body.size() / 2;
    out.append(body, 0, half).append("\n").append(body, half);
    writer.finish();
    // What would be read as part of the line's end is.
    const bool has_return = body.ends_with('\r');
    expected.bodies.push_back(has_return ? body.substr(0, body.size() - 1) : body);
  }
  check(out.starts_with("before\n"), "what was there before stays");
  check(split(std::string_view(out).substr(7), limits::kHighestMaxFrame) == expected,
        "lines are written as they were read");
}

/// What the first bytes say, found in another way.
Start start_of(std::string_view bytes) {
  if (bytes.size() < 4) { return Start::undecided; }
  for (const char byte : bytes.substr(0, 4)) {
    const bool is_text = (byte >= ' ' && byte <= '~') || (byte >= '\t' && byte <= '\r');
    if (!is_text || byte == '\v' || byte == '\f') { return Start::length; }
  }
  while (!bytes.empty() &&
         std::string_view(" \t\r\n").find(bytes.front()) != std::string_view::npos) {
    bytes.remove_prefix(1);
  }
  if (bytes.empty()) { return Start::undecided; }
  if (bytes.front() == '{' || bytes.front() == '[') { return Start::lines; }
  const bool is_short =
      bytes.size() < 4 && std::find(bytes.begin(), bytes.end(), '\n') == bytes.end();
  return is_short ? Start::undecided : Start::stranger;
}

void check_start(std::string_view input) {
  for (std::size_t size = 0; size <= input.size(); size += size < 16 ? 1 : input.size() / 8 + 1) {
    const std::string_view bytes = input.substr(0, size);
    const JudgedStart judged = judge_start(bytes, Framing::unknown, MoreBytes::may_follow);
    check(judged.start == start_of(bytes), "a connection is judged by its first bytes");
    check(judged.blanks <= size, "what can be dropped is there");
    if (judged.start != Start::undecided) { return; }
    const JudgedStart rest =
        judge_start(bytes.substr(judged.blanks), Framing::unknown, MoreBytes::may_follow);
    check(rest.start == Start::undecided && rest.blanks == 0, "blanks are dropped once");
  }
}

void run(std::string_view input) {
  check_start(input);
  for (const std::uint32_t limit : {0U, 16U, limits::kMaxFrame, limits::kHighestMaxFrame}) {
    Lines whole;
    WatchedBuffer buffer(input.size());
    buffer.append(input);
    take_lines(buffer, limit, whole);
    whole.rest = buffer.text();
    check(whole == split(input, limit), "lines are what stands between newlines");
    check(whole == read_pieces(input, limit), "pieces decode as the whole does");
    if (limit == limits::kHighestMaxFrame) { check_writing(whole); }
  }
}

}  // namespace
}  // namespace handoff::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  handoff::fuzz::run(handoff::fuzz::text_of(data, size));
  return 0;
}
