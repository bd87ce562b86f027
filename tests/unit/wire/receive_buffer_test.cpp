// SPDX-License-Identifier: MIT
#include "wire/receive_buffer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace handoff {
namespace {

std::span<const char> bytes_of(std::string_view text) {
  return {text.data(), text.size()};
}

std::string_view text_of(std::span<const char> bytes) {
  return {bytes.data(), bytes.size()};
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
    if (buffer.bytes().size() + buffer.room().size() > 1 << 20) { break; }
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
  buffer.append(bytes_of(std::string(1000, 'x')));
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
