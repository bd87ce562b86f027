// SPDX-License-Identifier: MIT
#include "wire/codec.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "wire/frame.hpp"

namespace handoff {
namespace {

using Outcome = DecodedFrame::Outcome;

constexpr std::uint32_t kLimit = frame::kDefaultMaxBody;

std::span<const char> bytes_of(std::string_view text) {
  return {text.data(), text.size()};
}

std::string_view text_of(std::span<const char> bytes) {
  return {bytes.data(), bytes.size()};
}

std::string framed(std::string_view body) {
  std::string out;
  append_frame(out, body);
  return out;
}

/// The storage of a buffer that holds nothing.
std::size_t capacity_of(ReceiveBuffer& buffer) {
  buffer.clear();
  return buffer.room().size();
}

/// Receives `text` as a reader would: into whatever room there is.
void receive(ReceiveBuffer& buffer, std::string_view text) {
  while (!text.empty()) {
    buffer.make_room();
    const std::size_t count = std::min(text.size(), buffer.room().size());
    REQUIRE(count > 0);
    std::copy_n(text.begin(), count, buffer.room().begin());
    buffer.commit(count);
    text.remove_prefix(count);
  }
}

TEST_CASE("a frame is a little-endian length and the body") {
  CHECK(framed("ping") == std::string("\4\0\0\0ping", 8));
  char header[4];
  encode_header(header, 0x04030201);
  CHECK(std::string_view(header, 4) == "\1\2\3\4");
  encode_header(header, 0xFFFEFD80);
  CHECK(std::string_view(header, 4) == "\x80\xFD\xFE\xFF");
}

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
  for (int i = 0; i < 1000; ++i) append_frame(bytes, std::to_string(i));
  ReceiveBuffer buffer(16);
  receive(buffer, bytes);
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
  char header[4];
  encode_header(header, kLimit + 1);
  CHECK(decode_frame(header, kLimit).outcome == Outcome::oversized);
  encode_header(header, kLimit);
  CHECK(decode_frame(header, kLimit).outcome == Outcome::partial);
  CHECK(decode_frame(bytes_of(framed("x")), 0).outcome == Outcome::oversized);
  CHECK(decode_frame(bytes_of(framed("")), 0).outcome == Outcome::complete);
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

TEST_CASE("bytes that were received come back in their order") {
  ReceiveBuffer buffer(8);
  CHECK(buffer.empty());
  receive(buffer, "abcdef");
  CHECK(!buffer.empty());
  CHECK(text_of(buffer.bytes()) == "abcdef");
  buffer.consume(2);
  CHECK(text_of(buffer.bytes()) == "cdef");
  receive(buffer, "ghijkl");
  CHECK(text_of(buffer.bytes()) == "cdefghijkl");
  CHECK(text_of(std::as_const(buffer).bytes()) == "cdefghijkl");
  buffer.consume(10);
  CHECK(buffer.empty());
}

TEST_CASE("room is made by moving the bytes when less than half is used") {
  ReceiveBuffer buffer(8);
  receive(buffer, "abcdefgh");
  const std::size_t capacity = buffer.bytes().size() + buffer.room().size();
  buffer.consume(5);
  buffer.make_room();
  CHECK(text_of(buffer.bytes()) == "fgh");
  CHECK(buffer.bytes().size() + buffer.room().size() == capacity);
}

TEST_CASE("there is always room after it was made") {
  for (std::size_t capacity = 1; capacity < 20; ++capacity) {
    ReceiveBuffer buffer(capacity);
    for (int i = 0; i < 100; ++i) {
      buffer.make_room();
      REQUIRE(!buffer.room().empty());
      buffer.room()[0] = 'x';
      buffer.commit(1);
    }
    CHECK(text_of(buffer.bytes()) == std::string(100, 'x'));
  }
}

TEST_CASE("what a stream passes through does not make the buffer grow") {
  ReceiveBuffer buffer(64);
  const std::string chunk(50, 'x');
  for (int i = 0; i < 10'000; ++i) {
    receive(buffer, chunk);
    // Something is always left, so that the buffer never starts anew.
    buffer.consume(buffer.bytes().size() - 1);
  }
  CHECK(capacity_of(buffer) <= 256);
}

TEST_CASE("what is appended and used does not make the buffer grow") {
  ReceiveBuffer buffer(64);
  const std::string chunk(50, 'x');
  for (int i = 0; i < 100; ++i) {
    buffer.append(chunk);
    buffer.consume(buffer.bytes().size() - 1);
    if (buffer.bytes().size() + buffer.room().size() > 1 << 20) break;
  }
  CHECK(capacity_of(buffer) <= 256);
}

TEST_CASE("the buffer grows to no more than four times what it holds") {
  ReceiveBuffer buffer(16);
  receive(buffer, std::string(100'000, 'x'));
  CHECK(buffer.bytes().size() == 100'000);
  CHECK(capacity_of(buffer) <= 400'000);
}

TEST_CASE("appended bytes stand behind those that are there, however many") {
  ReceiveBuffer buffer(4);
  buffer.append(bytes_of("abc"));
  buffer.consume(1);
  buffer.append(bytes_of(""));
  buffer.append(bytes_of("0123456789"));
  CHECK(text_of(buffer.bytes()) == "bc0123456789");
  buffer.append(std::string(1000, 'x'));
  CHECK(text_of(buffer.bytes()) == "bc0123456789" + std::string(1000, 'x'));
  buffer.clear();
  CHECK(buffer.empty());
}

TEST_CASE("behind the bytes the padding can be read, also when the buffer is full") {
  for (std::size_t capacity = 1; capacity <= 64; ++capacity) {
    ReceiveBuffer buffer(capacity);
    std::fill(buffer.room().begin(), buffer.room().end(), 'x');
    buffer.commit(buffer.room().size());
    REQUIRE(buffer.room().empty());
    const char* padding = buffer.bytes().data() + buffer.bytes().size();
    // Under a memory checker the reading itself is the test.
    CHECK(std::accumulate(padding, padding + ReceiveBuffer::kPadding, 0) == 0);
  }
}

}  // namespace
}  // namespace handoff
