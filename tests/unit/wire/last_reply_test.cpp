// SPDX-License-Identifier: MIT
#include "wire/last_reply.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

#include <handoff/wire/limits.hpp>

#include "unit/wire/body.hpp"
#include "wire/frame_writer.hpp"
#include "wire/reply.hpp"

namespace handoff {
namespace {

constexpr std::string_view kReply = R"({"out":"a","result":{}})";
constexpr std::string_view kMarked = R"({"out":"a","result":{},"last":true})";
constexpr std::string_view kJsonRpc = R"({"jsonrpc":"2.0","result":1,"id":2})";

std::string lines(std::string_view first, std::string_view second = {}) {
  std::string text = std::string(first) + "\n";
  if (!second.empty()) { text.append(second).append("\n"); }
  return text;
}
std::string frames(std::string_view first, std::string_view second = {}) {
  std::string text;
  append_frame(text, first);
  if (!second.empty()) { append_frame(text, second); }
  return text;
}
std::string marked(std::string text, Framing framing, std::uint32_t max_frame = limits::kMaxFrame) {
  mark_last_reply(text, framing, max_frame);
  return text;
}

TEST_CASE("the last reply of several says that it is the last") {
  CHECK(marked(lines(kReply), Framing::lines) == lines(kMarked));
  CHECK(marked(lines(kReply, kReply), Framing::lines) == lines(kReply, kMarked));
  CHECK(marked(frames(kReply), Framing::length) == frames(kMarked));
  CHECK(marked(frames(kReply, kReply), Framing::length) == frames(kReply, kMarked));
  CHECK(marked(frames(kJsonRpc, kReply), Framing::length) == frames(kJsonRpc, kMarked));
}

TEST_CASE("a reply of JSON-RPC, a batch and nothing at all stay as they are") {
  for (const std::string_view body : {kJsonRpc, std::string_view("[]"), std::string_view("{}")}) {
    CHECK(marked(lines(kReply, body), Framing::lines) == lines(kReply, body));
    CHECK(marked(frames(kReply, body), Framing::length) == frames(kReply, body));
  }
  CHECK(marked("", Framing::lines).empty());
  CHECK(marked("", Framing::length).empty());
  CHECK(marked("\n", Framing::lines) == "\n");
}

TEST_CASE("a reply that would be too long stays as it is") {
  const auto size = static_cast<std::uint32_t>(kMarked.size());
  CHECK(marked(frames(kReply), Framing::length, size) == frames(kMarked));
  CHECK(marked(frames(kReply), Framing::length, size - 1) == frames(kReply));
  CHECK(marked(lines(kReply), Framing::lines, size - 1) == lines(kReply));
}

TEST_CASE("a client reads whether a reply is the last") {
  test::Bodies body;
  CHECK(body.reply(kMarked).is_last);
  CHECK_FALSE(body.reply(kReply).is_last);
  CHECK_FALSE(body.reply(R"({"out":"a","result":1,"last":false})").is_last);
  CHECK_FALSE(body.reply(R"({"out":"a","result":1,"last":1})").is_last);
  CHECK_FALSE(body.reply(R"({"jsonrpc":"2.0","result":1,"id":2,"last":true})").is_last);
}

}  // namespace
}  // namespace handoff
