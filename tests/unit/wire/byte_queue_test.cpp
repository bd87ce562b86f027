// SPDX-License-Identifier: MIT
#include "wire/byte_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <string>

namespace handoff {
namespace {

TEST_CASE("what was added is there until it was used, in order") {
  ByteQueue queue;
  CHECK(queue.empty());
  queue.append("one ");
  queue.end() += "two";
  CHECK(queue.bytes() == "one two");
  queue.consume(2);
  queue.append(".");
  CHECK(queue.bytes() == "e two.");
  CHECK(queue.size() == 6);
  queue.consume(6);
  CHECK(queue.empty());
  queue.append("x");
  queue.clear();
  CHECK(queue.empty());
}

TEST_CASE("many bytes that are used in small pieces stay in order") {
  ByteQueue queue;
  std::string used;
  std::string added;
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = std::to_string(i) + ",";
    added += text;
    queue.append(text);
    if (i % 3 == 0) {
      used += queue.bytes().substr(0, 7);
      queue.consume(std::min<std::size_t>(7, queue.size()));
    }
  }
  CHECK(used + std::string(queue.bytes()) == added);
}

TEST_CASE(
    "what was used is dropped in the end, so that a queue that is never empty does not grow") {
  ByteQueue queue;
  for (int i = 0; i < 10'000; ++i) {
    queue.append("0123456789");
    if (i > 0) { queue.consume(10); }
  }
  CHECK(queue.end().size() < 10'000);
}

/// The start of what is left does not move as long as little of it was used.
TEST_CASE("a small piece that was used moves nothing") {
  ByteQueue queue;
  queue.append(std::string(1 << 20, 'x'));
  const char* const start = queue.bytes().data();
  for (int i = 1; i <= 100; ++i) {
    queue.consume(1000);
    CHECK(queue.bytes().data() == start + i * 1000);
  }
}

}  // namespace
}  // namespace handoff
