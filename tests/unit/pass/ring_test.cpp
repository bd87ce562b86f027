// SPDX-License-Identifier: MIT
#include "pass/ring.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "os/error.hpp"
#include "unit/pass/ring_pair.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

TEST_CASE("a memory is a power of two, behind a page of state") {
  for (const std::size_t longest : {0U, 1U, 65'528U, 65'529U, 1'048'576U}) {
    const std::size_t capacity = RingEnd::memory_size(longest) - 4096;
    CHECK((capacity & (capacity - 1)) == 0);
    CHECK(capacity >= longest + 8);
    CHECK(capacity >= 65'536);
  }
  CHECK(RingEnd::memory_size(65'528) == 4096 + 65'536);
  CHECK(RingEnd::memory_size(65'529) == 4096 + 131'072);
}

TEST_CASE("memories of another size are refused") {
  for (const std::size_t size : {4096U, 4096U + 4096U, 65'536U, 4096U + 65'536U + 4096U}) {
    SharedMemory memory = make_memory_to_write("test", size);
    SharedMemory good = make_memory_to_write("test", RingEnd::memory_size(1));
    CHECK_THROWS_AS(RingEnd(std::move(good.mapping), std::move(memory.mapping)), InvalidArgument);
  }
}

TEST_CASE("nothing is seen before it is published, and then all of it, in order") {
  RingPair pair;
  CHECK(read_text(*pair.other) == "nothing");
  CHECK_FALSE(pair.other->has_record());
  for (const char* text : {"first", "", "third, of parts"}) {
    REQUIRE(write_text(*pair.one, text));
  }
  CHECK(read_text(*pair.other) == "nothing");
  pair.one->publish();
  CHECK(pair.other->has_record());
  CHECK(read_text(*pair.other) == "first");
  CHECK(read_text(*pair.other) == "");
  CHECK(read_text(*pair.other) == "third, of parts");
  CHECK(read_text(*pair.other) == "nothing");
  CHECK_FALSE(pair.other->broken());
}

TEST_CASE("a record is made of parts, and has readable bytes behind it") {
  RingPair pair;
  REQUIRE(pair.one->write(std::array<std::string_view, 4>{"a", "", "bc", "def"}));
  pair.one->publish();
  std::string copy;
  const auto record = pair.other->read(copy);
  REQUIRE(record);
  CHECK(*record == "abcdef");
  CHECK(copy.capacity() >= record->size() + ReceiveBuffer::kPadding);
}

TEST_CASE("a full ring takes nothing before the other side is done with something") {
  RingPair pair;
  const std::string longest(pair.one->longest(), 'x');
  CHECK(longest.size() == pair.capacity() - 8);
  CHECK_FALSE(write_text(*pair.one, longest + 'x'));
  REQUIRE(write_text(*pair.one, longest));
  CHECK_FALSE(write_text(*pair.one, ""));
  pair.one->publish();
  CHECK(read_text(*pair.other) == longest);
  CHECK_FALSE(write_text(*pair.one, ""));
  CHECK(pair.one->read_by_other() == 0);
  pair.other->release();
  CHECK(pair.one->read_by_other() == pair.one->written());
  CHECK(write_text(*pair.one, longest));
  CHECK_FALSE(pair.one->broken());
}

TEST_CASE("records of all sizes go round and round") {
  RingPair pair;
  std::minstd_rand random(1);
  std::vector<std::string> sent;
  std::size_t received = 0;
  std::string copy;
  while (received < 2'000) {
    std::string text(random() % (random() % 50 == 0 ? 60'000 : 300),
                     static_cast<char>('a' + sent.size() % 26));
    if (random() % 2 == 0 && write_text(*pair.one, text)) { sent.push_back(std::move(text)); }
    pair.one->publish();
    if (random() % 2 == 0 && received < sent.size()) {
      REQUIRE(read_text(*pair.other) == sent[received++]);
      pair.other->release();
    }
  }
  CHECK_FALSE(pair.one->broken());
  CHECK_FALSE(pair.other->broken());
}

TEST_CASE("an end that can't be breaks the ring") {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t written : {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{65'537},
                                      std::uint64_t{1} << 63U, kMost, kMost - 7}) {
    CAPTURE(written);
    RingPair pair;
    pair.state().written = written;
    CHECK(read_text(*pair.one) == "nothing");
    CHECK(pair.one->broken());
    // It stays so, whatever is said then.
    pair.state().written = 0;
    CHECK(read_text(*pair.one) == "nothing");
    CHECK_FALSE(write_text(*pair.one, "text"));
    CHECK(pair.one->broken());
  }
}

TEST_CASE("an end that goes back breaks the ring") {
  RingPair pair;
  REQUIRE(write_text(*pair.other, "text"));
  pair.other->publish();
  REQUIRE(read_text(*pair.one) == "text");
  pair.state().written = 8;
  CHECK(read_text(*pair.one) == "nothing");
  CHECK(pair.one->broken());
}

TEST_CASE("a record that is longer than what was written breaks the ring") {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t size : {std::uint64_t{9}, std::uint64_t{65'536}, std::uint64_t{1} << 32U,
                                   std::uint64_t{1} << 63U, kMost, kMost - 7, kMost - 15}) {
    CAPTURE(size);
    RingPair pair;
    REQUIRE(write_text(*pair.other, "12345678"));
    pair.other->publish();
    std::memcpy(pair.records(), &size, sizeof size);
    CHECK(read_text(*pair.one) == "nothing");
    CHECK(pair.one->broken());
  }
}

TEST_CASE("having read what was never written breaks the ring") {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  for (const std::uint64_t read :
       {std::uint64_t{1}, std::uint64_t{1} << 63U, kMost, kMost - 100'000}) {
    CAPTURE(read);
    RingPair pair;
    pair.state().read = read;
    const bool is_far = std::uint64_t{0} - read <= pair.capacity();
    CHECK(write_text(*pair.one, "text") == is_far);
    CHECK(pair.one->broken() != is_far);
  }
}

TEST_CASE("random bytes are never read past the memory") {
  std::minstd_rand random(3);
  for (int round = 0; round < 200; ++round) {
    RingPair pair;
    for (int change = 0; change < 50 && !pair.one->broken(); ++change) {
      const std::size_t at = random() % 3 == 0 ? (random() % 2) * 64 : 4096 + random() % 200;
      for (std::size_t i = 0; i < 8; ++i) {
        pair.spoil.data()[at + i] = static_cast<char>(random() % 4 == 0 ? random() : 0);
      }
      std::string copy;
      for (int i = 0; i < 10; ++i) {
        if (const auto record = pair.one->read(copy)) { CHECK(record->size() <= pair.capacity()); }
      }
      write_text(*pair.one, "text");
      pair.one->publish();
      pair.one->release();
      (void)pair.one->must_wake();
    }
  }
}

TEST_CASE("who sleeps is woken once for each sleep") {
  RingPair pair;
  CHECK_FALSE(pair.one->must_wake());
  for (int i = 0; i < 3; ++i) {
    pair.other->arm();
    CHECK(pair.one->must_wake());
    CHECK_FALSE(pair.one->must_wake());
    pair.other->disarm();
    CHECK_FALSE(pair.one->must_wake());
  }
}

TEST_CASE("who has no room says so") {
  RingPair pair;
  CHECK_FALSE(pair.one->other_is_starved());
  pair.other->set_starved();
  CHECK(pair.one->other_is_starved());
  pair.other->clear_starved();
  CHECK_FALSE(pair.one->other_is_starved());
}

/// Reads the next record, which there must be, and returns whether it may be begun.
bool begin_next(RingEnd& ring) {
  CHECK(read_text(ring) != "nothing");
  return ring.release_to_begin();
}

TEST_CASE("a side says that it heeds revocations, and at first does not") {
  RingPair pair;
  CHECK_FALSE(pair.one->other_heeds_revocations());
  pair.other->heed_revocations();
  CHECK(pair.one->other_heeds_revocations());
  CHECK_FALSE(pair.other->other_heeds_revocations());
}

TEST_CASE("what is revoked before it is begun is not begun, and all that was before it is") {
  RingPair pair;
  std::vector<std::uint64_t> ends;
  for (const char* text : {"first", "second", "third", "fourth"}) {
    REQUIRE(write_text(*pair.one, text));
    ends.push_back(pair.one->written());
  }
  pair.one->publish();
  CHECK(begin_next(*pair.other));
  CHECK(pair.one->revoke(ends[1]) == ends[0]);
  CHECK(begin_next(*pair.other));
  CHECK_FALSE(begin_next(*pair.other));
  CHECK(pair.one->read_by_other() == ends[2]);
  CHECK_FALSE(begin_next(*pair.other));
  pair.one->end_revocation();
  REQUIRE(write_text(*pair.one, "fifth"));
  pair.one->publish();
  CHECK(begin_next(*pair.other));
}

TEST_CASE("the first record of all can be revoked") {
  RingPair pair;
  REQUIRE(write_text(*pair.one, "first"));
  pair.one->publish();
  CHECK(pair.one->revoke(0) == 0);
  CHECK_FALSE(begin_next(*pair.other));
}

TEST_CASE("a side that is armed twice sleeps once") {
  RingPair pair;
  pair.other->disarm();
  CHECK_FALSE(pair.one->must_wake());
  pair.other->arm();
  pair.other->arm();
  CHECK(pair.one->must_wake());
  pair.other->arm();
  CHECK_FALSE(pair.one->must_wake());
  pair.other->disarm();
  pair.other->disarm();
  pair.other->arm();
  CHECK(pair.one->must_wake());
}

// Two threads that sleep as two processes do.

}  // namespace
}  // namespace handoff
