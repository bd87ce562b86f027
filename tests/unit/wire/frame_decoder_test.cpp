// SPDX-License-Identifier: MIT
#include "wire/frame_decoder.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/wire/limits.hpp>

#include "wire/bytes.hpp"
#include "wire/frame_writer.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

using Outcome = DecodedFrame::Outcome;

constexpr std::uint32_t kLimit = limits::kMaxFrame;

std::span<const char> bytes_of(std::string_view text) {
  return {text.data(), text.size()};
}

std::string framed(std::string_view body) {
  std::string out;
  append_frame(out, body);
  return out;
}

DecodedFrame decode(std::string_view text, std::uint32_t max_body = kLimit) {
  return decode_line(bytes_of(text), max_body);
}

/// All bodies of `text`, as a session would find them.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (;;) {
    const DecodedFrame line = decode(text);
    if (line.outcome != Outcome::complete) { break; }
    lines.emplace_back(line.body);
    text.remove_prefix(line.size);
  }
  CHECK(text.empty());
  return lines;
}

// Frames with a length.

TEST_CASE("a header is read as unsigned bytes, least first") {
  const auto frame = decode_frame(bytes_of("\x80\x01\x02\x03"), 0xFFFFFFFF);
  CHECK(frame.outcome == Outcome::partial);
  CHECK(frame.size == 0x03020180 + 4);
}

TEST_CASE("a zero-length body is a frame") {
  const auto frame = decode_frame(bytes_of(std::string_view("\0\0\0\0more", 8)), kLimit);
  CHECK(frame.outcome == Outcome::complete);
  CHECK(frame.body.empty());
  CHECK(frame.size == 4);
}

TEST_CASE("a frame that arrives a byte at a time is partial until its last") {
  const std::string bytes = framed("hello");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto frame = decode_frame(bytes_of(bytes).first(size), kLimit);
    CHECK(frame.outcome == Outcome::partial);
    CHECK(frame.size == (size < 4 ? 0 : bytes.size()));
  }
  const auto frame = decode_frame(bytes_of(bytes), kLimit);
  CHECK(frame.outcome == Outcome::complete);
  CHECK(frame.body == "hello");
  CHECK(frame.body.data() == bytes.data() + 4);
}

TEST_CASE("a thousand frames in one buffer are read one after the other") {
  std::string bytes;
  for (int i = 0; i < 1000; ++i) { append_frame(bytes, std::to_string(i)); }
  ReceiveBuffer buffer(16);
  buffer.append(bytes);
  for (int i = 0; i < 1000; ++i) {
    const auto frame = decode_frame(buffer.bytes(), kLimit);
    REQUIRE(frame.outcome == Outcome::complete);
    REQUIRE(frame.body == std::to_string(i));
    buffer.consume(frame.size);
  }
  CHECK(buffer.empty());
  CHECK(decode_frame(buffer.bytes(), kLimit).outcome == Outcome::partial);
}

TEST_CASE("a length over the limit is told by the header alone") {
  CHECK(decode_frame(bytes_of("\xFF\xFF\xFF\xFF"), kLimit).outcome == Outcome::oversized);
  std::string header;
  append_little_endian(header, kLimit + 1);
  CHECK(decode_frame(bytes_of(header), kLimit).outcome == Outcome::oversized);
  header.clear();
  append_little_endian(header, kLimit);
  CHECK(decode_frame(bytes_of(header), kLimit).outcome == Outcome::partial);
  CHECK(decode_frame(bytes_of(framed("x")), 0).outcome == Outcome::oversized);
  CHECK(decode_frame(bytes_of(framed("")), 0).outcome == Outcome::complete);
}

TEST_CASE("the size of a frame is that of its header and its body, whatever the outcome") {
  for (const std::uint32_t length : {0U, 1U, 100U, 101U, 0xFFFFFFFFU}) {
    CAPTURE(length);
    std::string bytes;
    append_little_endian(bytes, length);
    bytes.append(100, 'x');
    for (const std::uint32_t limit : {0U, 100U, 0xFFFFFFFFU}) {
      CAPTURE(limit);
      const DecodedFrame frame = decode_frame(bytes_of(bytes), limit);
      CHECK(frame.outcome == (length > limit  ? Outcome::oversized
                              : length > 100U ? Outcome::partial
                                              : Outcome::complete));
      CHECK(frame.size == std::uint64_t{length} + 4);
      CHECK(frame.body_size == length);
    }
  }
  CHECK(decode_frame(bytes_of("\1\2\3"), kLimit).size == 0);
}

// Lines.

TEST_CASE("the size of a line is known with its newline, which it includes, whatever the outcome") {
  for (const std::string_view ending : {"\n", "\r\n"}) {
    for (const std::uint32_t limit : {2U, 3U, 4U}) {
      const DecodedFrame line = decode("abc" + std::string(ending) + "more", limit);
      CHECK(line.outcome == (limit < 3 ? Outcome::oversized : Outcome::complete));
      CHECK(line.size == 3 + ending.size());
      CHECK(line.body_size == 3);
    }
  }
  for (const std::uint32_t limit : {2U, 3U}) {
    const DecodedFrame line = decode("abc", limit);
    CHECK(line.outcome == (limit < 3 ? Outcome::oversized : Outcome::partial));
    CHECK(line.size == 0);
    CHECK(line.body_size == 3);
  }
}

TEST_CASE("a line ends with its newline, which is no part of the body") {
  const std::string text = "{}\nmore";
  const DecodedFrame line = decode(text);
  CHECK(line.outcome == Outcome::complete);
  CHECK(line.body == "{}");
  CHECK(line.size == 3);
  CHECK(line.body.data() == text.data());
}

TEST_CASE("a line that arrives a byte at a time is partial until its newline") {
  const std::string text = "{\"in\":\"ping\"}\n";
  for (std::size_t size = 0; size < text.size(); ++size) {
    const DecodedFrame line = decode(std::string_view(text).substr(0, size));
    CHECK(line.outcome == Outcome::partial);
    CHECK(line.size == 0);
  }
  CHECK(decode(text).outcome == Outcome::complete);
}

TEST_CASE("one carriage return in front of the newline is no part of the body") {
  CHECK(decode("{}\r\n").body == "{}");
  CHECK(decode("{}\r\n").size == 4);
  CHECK(decode("{}\r\r\n").body == "{}\r");
  CHECK(decode("\r{\r}\n").body == "\r{\r}");
  CHECK(decode("{}\r").outcome == Outcome::partial);
  CHECK(decode("{}\n\r").size == 3);
}

TEST_CASE("a blank line has an empty body") {
  for (const std::string_view text : {"\n", "\r\n", "\n\n", "\n{}\n"}) {
    CHECK(decode(text).outcome == Outcome::complete);
    CHECK(decode(text).body.empty());
  }
  CHECK(decode("\n{}\n").size == 1);
  CHECK(decode("\r\n{}\n").size == 2);
}

TEST_CASE("lines in one buffer are read one after the other, whatever bytes they have") {
  CHECK(lines_of("1\n\r\n\n[\"\xC3\xA9\"]\r\n\xFF\t\n") ==
        std::vector<std::string>{"1", "", "", "[\"\xC3\xA9\"]", "\xFF\t"});
  CHECK(lines_of(std::string_view("a\0b\n\0\n", 6)) ==
        std::vector<std::string>{std::string("a\0b", 3), std::string(1, '\0')});
}

TEST_CASE("a line of just the limit is complete, one more byte is too many") {
  const std::string longest(100, 'x');
  CHECK(decode(longest + "\n", 100).body == longest);
  CHECK(decode(longest + "\nmore", 100).size == 101);
  CHECK(decode(longest, 100).outcome == Outcome::partial);
  CHECK(decode(longest + "x\n", 100).outcome == Outcome::oversized);
  CHECK(decode(longest + "x\n", 100).body_size == 101);
}

TEST_CASE("a line over the limit is told before its newline has come") {
  const DecodedFrame line = decode(std::string(101, 'x'), 100);
  CHECK(line.outcome == Outcome::oversized);
  CHECK(line.body_size == 101);
  CHECK(decode(std::string(10'000, ' '), 100).outcome == Outcome::oversized);
}

TEST_CASE("the limit is the body's: a carriage return at the end does not count") {
  const std::string longest(100, 'x');
  CHECK(decode(longest + "\r\n", 100).body == longest);
  CHECK(decode(longest + "\r\n", 100).size == 102);
  // Before the newline has come it may still be one.
  CHECK(decode(longest + "\r", 100).outcome == Outcome::partial);
  CHECK(decode(longest + "\rx", 100).outcome == Outcome::oversized);
  CHECK(decode(longest + "\r\r", 100).outcome == Outcome::oversized);
  CHECK(decode(longest + "x\r\n", 100).outcome == Outcome::oversized);
}

TEST_CASE("what is written as lines is read as lines") {
  std::string out;
  for (const std::string_view body : {"{}", "[1,\n2]", "\"a\\nb\"", "null"}) {
    FrameWriter writer(out, Framing::lines);
    out.append(body);
    writer.finish();
  }
  CHECK(lines_of(out) == std::vector<std::string>{"{}", "[1,2]", "\"a\\nb\"", "null"});
}

}  // namespace
}  // namespace handoff
