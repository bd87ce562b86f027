// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/codec.hpp"
#include "wire/frame.hpp"

namespace handoff {
namespace {

using Outcome = DecodedFrame::Outcome;

constexpr std::uint32_t kLimit = frame::kDefaultMaxBody;

std::span<const char> bytes_of(std::string_view text) {
  return {text.data(), text.size()};
}

DecodedFrame decode(std::string_view text, std::uint32_t max_body = kLimit) {
  return decode_line(bytes_of(text), max_body);
}

/// All bodies of `text`, as a session would find them.
std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  for (;;) {
    const DecodedFrame line = decode(text);
    if (line.outcome != Outcome::complete) break;
    lines.emplace_back(line.body);
    text.remove_prefix(line.size);
  }
  CHECK(text.empty());
  return lines;
}

std::string line_of(std::string_view body) {
  std::string out;
  FrameWriter writer(out, Framing::lines);
  out.append(body);
  writer.finish();
  return out;
}

std::string four(unsigned first, unsigned second, unsigned third, unsigned fourth) {
  return {static_cast<char>(first), static_cast<char>(second), static_cast<char>(third),
          static_cast<char>(fourth)};
}

// Reading lines.

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
  CHECK(decode(longest + "x\n", 100).size == 101);
}

TEST_CASE("a line over the limit is told before its newline has come") {
  const DecodedFrame line = decode(std::string(101, 'x'), 100);
  CHECK(line.outcome == Outcome::oversized);
  CHECK(line.size == 101);
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

// Writing lines.

TEST_CASE("a line is written behind what was there, with a newline behind it") {
  std::string out = "before";
  FrameWriter writer(out, Framing::lines);
  out.append("{}");
  CHECK(writer.body_size() == 2);
  writer.finish();
  CHECK(out == "before{}\n");
}

TEST_CASE("an unfinished line can be taken back, or begun again") {
  std::string out = "before\n";
  FrameWriter discarded(out, Framing::lines);
  out.append("lost");
  discarded.discard();
  CHECK(out == "before\n");

  FrameWriter restarted(out, Framing::lines);
  out.append("too long");
  restarted.restart();
  CHECK(restarted.body_size() == 0);
  out.append("short");
  restarted.finish();
  CHECK(out == "before\nshort\n");
}

TEST_CASE("an unfinished frame can be begun again too") {
  std::string out = "before";
  FrameWriter writer(out, Framing::length);
  out.append("too long");
  writer.restart();
  CHECK(writer.body_size() == 0);
  out.append("short");
  writer.finish();
  CHECK(out == "before" + four(5, 0, 0, 0) + "short");
}

TEST_CASE("the newlines of pretty-printed JSON go, its tokens and spaces stay") {
  CHECK(line_of("{\n  \"a\": [\n    1,\n    \"\\n\"\n  ]\n}\n") ==
        "{  \"a\": [    1,    \"\\n\"  ]}\n");
  CHECK(line_of("\n\n1\n") == "1\n");
}

TEST_CASE("the newlines in front of a line are not its own") {
  std::string out = "1\n\n2\n";
  FrameWriter writer(out, Framing::lines);
  out.append("[\n3\n]");
  writer.finish();
  CHECK(out == "1\n\n2\n[3]\n");
}

TEST_CASE("a frame with a length keeps its newlines") {
  std::string out;
  append_frame(out, "[\n1\n]");
  CHECK(out == four(5, 0, 0, 0) + "[\n1\n]");
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
