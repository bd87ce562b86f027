// SPDX-License-Identifier: MIT
#include "wire/frame_writer.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include "wire/framing.hpp"

namespace handoff {
namespace {

std::string framed(std::string_view body) {
  std::string out;
  append_frame(out, body);
  return out;
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

TEST_CASE("a frame is a little-endian length and the body") {
  CHECK(framed("ping") == std::string("\4\0\0\0ping", 8));
}

TEST_CASE("a frame is written in place behind what was there, or taken back") {
  std::string out = "before";
  FrameWriter discarded(out);
  out.append("lost");
  CHECK(discarded.body_size() == 4);
  discarded.discard();
  CHECK(out == "before");

  FrameWriter kept(out);
  out.append(300, 'x');
  CHECK(kept.body_size() == 300);
  kept.finish();
  CHECK(out == "before" + framed(std::string(300, 'x')));
}

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

}  // namespace
}  // namespace handoff
