// SPDX-License-Identifier: MIT
#include "pass/ring.hpp"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "os/error.hpp"
#include "unit/support.hpp"
#include "wire/receive_buffer.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HANDOFF_SLOW 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HANDOFF_SLOW 1
#endif

namespace handoff {
namespace {

// A sleep and a wake-up may take 50 us each where a processor is a virtual one.
#ifdef HANDOFF_SLOW
constexpr std::uint64_t kOrdinary = 10'000;
#else
constexpr std::uint64_t kOrdinary = 50'000;
#endif

/// How often; the full count under `make stress`.
const std::uint64_t kMany = std::getenv("HANDOFF_STRESS") != nullptr ? 1'000'000 : kOrdinary;

/// Both ends of a pair of rings, as two processes have them; and each memory, to spoil it.
struct Pair {
  explicit Pair(std::size_t longest = 100) {
    const std::size_t size = RingEnd::memory_size(longest);
    SharedMemory ours = make_memory_to_write("test", size);
    SharedMemory theirs = make_memory_to_read("test", size);
    spoil = Mapping::writable(theirs.file.get());
    Mapping requests = Mapping::read_only(ours.file.get());
    Mapping replies = Mapping::writable(theirs.file.get());
    one.emplace(std::move(ours.mapping), std::move(theirs.mapping));
    other.emplace(std::move(replies), std::move(requests));
  }
  RingState& state() { return *reinterpret_cast<RingState*>(spoil.data()); }
  char* records() { return spoil.data() + 4096; }
  std::size_t capacity() { return spoil.size() - 4096; }

  std::optional<RingEnd> one;
  std::optional<RingEnd> other;
  Mapping spoil;  ///< the memory of `other`
};

bool write_text(RingEnd& ring, std::string_view text) {
  return ring.write(std::array{text});
}

std::string read_text(RingEnd& ring) {
  std::string copy;
  const auto record = ring.read(copy);
  return record ? std::string(*record) : "nothing";
}

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
  Pair pair;
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
  Pair pair;
  REQUIRE(pair.one->write(std::array<std::string_view, 4>{"a", "", "bc", "def"}));
  pair.one->publish();
  std::string copy;
  const auto record = pair.other->read(copy);
  REQUIRE(record);
  CHECK(*record == "abcdef");
  CHECK(copy.capacity() >= record->size() + ReceiveBuffer::kPadding);
}

TEST_CASE("a full ring takes nothing before the other side is done with something") {
  Pair pair;
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
  Pair pair;
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
    Pair pair;
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
  Pair pair;
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
    Pair pair;
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
    Pair pair;
    pair.state().read = read;
    const bool is_far = std::uint64_t{0} - read <= pair.capacity();
    CHECK(write_text(*pair.one, "text") == is_far);
    CHECK(pair.one->broken() != is_far);
  }
}

TEST_CASE("random bytes are never read past the memory") {
  std::minstd_rand random(3);
  for (int round = 0; round < 200; ++round) {
    Pair pair;
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
  Pair pair;
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
  Pair pair;
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
  Pair pair;
  CHECK_FALSE(pair.one->other_heeds_revocations());
  pair.other->heed_revocations();
  CHECK(pair.one->other_heeds_revocations());
  CHECK_FALSE(pair.other->other_heeds_revocations());
}

TEST_CASE("what is revoked before it is begun is not begun, and all that was before it is") {
  Pair pair;
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
  Pair pair;
  REQUIRE(write_text(*pair.one, "first"));
  pair.one->publish();
  CHECK(pair.one->revoke(0) == 0);
  CHECK_FALSE(begin_next(*pair.other));
}

TEST_CASE("a side that is armed twice sleeps once") {
  Pair pair;
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

/// What wakes one of them.
class Bell {
 public:
  Bell() : file_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { REQUIRE(file_.valid()); }
  void ring() {
    const std::uint64_t one = 1;
    (void)!write(file_.get(), &one, sizeof one);
  }
  /// False when it was not rung for so long that something is wrong.
  bool wait() {
    pollfd poll_fd{file_.get(), POLLIN, 0};
    if (poll(&poll_fd, 1, test::kPatienceMs) != 1) { return false; }
    std::uint64_t count = 0;
    return read(file_.get(), &count, sizeof count) == sizeof count;
  }

 private:
  Fd file_;
};

/// Yields now and then, at places of which some pair is the unlucky one.
class Dice {
 public:
  explicit Dice(unsigned seed) : random_(seed) {}
  void roll() {
    const auto number = random_() % 64;
    if (number == 0) { std::this_thread::yield(); }
    if (number < 4) {
      for (auto i = random_() % 200; i > 0; --i) { asm volatile("" ::: "memory"); }
    }
  }
  std::minstd_rand::result_type below(std::minstd_rand::result_type limit) {
    return random_() % limit;
  }

 private:
  std::minstd_rand random_;
};

TEST_CASE("no wake-up is lost between a question and its answer") {
  Pair pair;
  Bell for_one;
  Bell for_other;
  bool lost = false;
  const auto wait_for_record = [](RingEnd& ring, Bell& bell, Dice& dice) {
    while (!ring.has_record()) {
      ring.arm();
      dice.roll();
      if (!ring.has_record() && !bell.wait()) { return false; }
      ring.disarm();
    }
    return true;
  };
  std::thread answering([&] {
    Dice dice(1);
    std::string copy;
    for (std::uint64_t i = 0; i < kMany; ++i) {
      if (!wait_for_record(*pair.other, for_other, dice)) { return; }
      const auto record = pair.other->read(copy);
      pair.other->release();
      pair.other->write(std::array{*record});
      dice.roll();
      pair.other->publish();
      if (pair.other->must_wake()) { for_one.ring(); }
    }
  });
  Dice dice(2);
  std::string copy;
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kMany && !lost; ++i) {
    pair.one->write(std::array{std::string_view(reinterpret_cast<const char*>(&i), sizeof i)});
    pair.one->publish();
    if (pair.one->must_wake()) { for_other.ring(); }
    dice.roll();
    if (!wait_for_record(*pair.one, for_one, dice)) {
      lost = true;
      break;
    }
    const auto record = pair.one->read(copy);
    pair.one->release();
    if (*record != std::string_view(reinterpret_cast<const char*>(&i), sizeof i)) { ++wrong; }
  }
  answering.join();
  CHECK_FALSE(lost);
  CHECK(wrong == 0);
}

/// Waits for the other thread, at first without giving the processor away: threads that take turns
/// on one would never meet.
class Spin {
 public:
  void wait() {
    if (++count_ % 2'000 == 0) { std::this_thread::yield(); }
  }

 private:
  unsigned count_ = 0;
};

/// The side that gives numbered records and takes them back, as Queue does it.
class Giver {
 public:
  Giver(RingEnd& ring, std::uint64_t records) : ring_(ring), taken_back_(records) {}

  /// Gives, revokes or hears, by chance. False when all is done.
  bool step(Dice& dice) {
    hear();
    if (given_ == taken_back_.size()) { return heard_ < given_; }
    const bool may_give = !revoking_ && given_ - heard_ < 8;
    if (!may_give) { spin_.wait(); }
    if (may_give && dice.below(4) != 0) { give(); }
    dice.roll();
    if (!revoking_ && given_ > heard_ && dice.below(4) == 0) { revoke(); }
    return true;
  }
  /// Whether each record was either begun by the other side, which counts that, or taken back.
  std::uint64_t count_wrong(const std::vector<char>& begun) const {
    std::uint64_t wrong = 0;
    for (std::size_t i = 0; i < given_; ++i) { wrong += begun[i] + taken_back_[i] == 1 ? 0 : 1; }
    return wrong;
  }
  std::uint64_t surely_taken_back() const { return surely_taken_back_; }
  std::uint64_t given_back() const { return given_back_; }

 private:
  void give() {
    const std::uint64_t number = given_++;
    REQUIRE(ring_.write(
        std::array{std::string_view(reinterpret_cast<const char*>(&number), sizeof number)}));
    ends_.push_back(ring_.written());
    ring_.publish();
  }
  void revoke() {
    // As far back as it may be: all that may be begun at this moment is in doubt.
    const std::uint64_t begun_until = ring_.revoke(heard_ > 0 ? ends_[heard_ - 1] : 0);
    revoking_ = begun_until < ends_.back();
    if (!revoking_) { ring_.end_revocation(); }
    for (std::size_t i = given_; i > 0 && ends_[i - 1] > begun_until; --i) {
      ++taken_back_[i - 1];
      ++surely_taken_back_;
    }
  }
  /// The other side answers each record with its number, and whether it has begun it.
  void hear() {
    while (const auto record = ring_.read(copy_)) {
      std::uint64_t answer = 0;
      std::memcpy(&answer, record->data(), sizeof answer);
      ring_.release();
      const std::uint64_t number = answer / 2;
      ++heard_;
      if (answer % 2 == 0 && taken_back_[number] == 0) {
        ++taken_back_[number];
        ++given_back_;
      }
      if (revoking_ && number == given_ - 1) {
        revoking_ = false;
        ring_.end_revocation();
      }
    }
  }

  RingEnd& ring_;
  std::vector<char> taken_back_;     ///< how often, of each record
  std::vector<std::uint64_t> ends_;  ///< of each record in the ring
  std::uint64_t given_ = 0;
  std::uint64_t heard_ = 0;
  std::uint64_t surely_taken_back_ = 0;  ///< of which the other side had said nothing yet
  std::uint64_t given_back_ = 0;         ///< that the other side had said to begin
  bool revoking_ = false;
  Spin spin_;
  std::string copy_;
};

/// Gives so many records and takes them back at any time, while another thread begins them. Returns
/// how many were given back: where the two threads have met.
std::uint64_t give_and_revoke(std::uint64_t records, unsigned seed) {
  Pair pair;
  std::vector<char> begun(records);
  std::thread beginning([&] {
    Dice dice(seed);
    Spin spin;
    std::string copy;
    for (std::uint64_t count = 0; count < records;) {
      const auto record = pair.other->read(copy);
      if (!record) {
        spin.wait();
        continue;
      }
      ++count;
      std::uint64_t number = 0;
      std::memcpy(&number, record->data(), sizeof number);
      dice.roll();
      const bool begins = pair.other->release_to_begin();
      dice.roll();
      if (begins) { ++begun[number]; }
      const std::uint64_t answer = 2 * number + (begins ? 1 : 0);
      pair.other->write(
          std::array{std::string_view(reinterpret_cast<const char*>(&answer), sizeof answer)});
      pair.other->publish();
    }
  });
  Dice dice(seed + 1);
  Giver giver(*pair.one, records);
  while (giver.step(dice)) { continue; }
  beginning.join();
  CHECK(giver.count_wrong(begun) == 0);
  CHECK(giver.surely_taken_back() > records / 100);
  return giver.given_back();
}

TEST_CASE("each record is begun once or taken back once, whenever it is revoked") {
  std::uint64_t met = give_and_revoke(kMany, 5);
  if (kMany <= kOrdinary || std::thread::hardware_concurrency() < 2) { return; }
  // Only where the threads meet does a fence make a difference, and on a busy machine they may run
  // in turns for long.
  constexpr unsigned kRounds = 50;
  for (unsigned round = 1; round < kRounds && met < 100; ++round) {
    met += give_and_revoke(kMany, 5 + 2 * round);
  }
  CHECK(met >= 100);
}

TEST_CASE("no wake-up is lost by who waits for room") {
  // As QueueConsumer and Queue do it: who writes says that it is starved, and sleeps; who reads
  // wakes it when it has released something. Here there is never room for two records.
  const std::uint64_t kRecords = kMany / 5;
  Pair pair;
  Bell for_writer;
  std::atomic<bool> lost = false;
  const std::string text(pair.other->longest() / 2 + 1, 'x');
  std::thread writing([&] {
    Dice dice(3);
    for (std::uint64_t i = 0; i < kRecords; ++i) {
      for (auto pause = dice.below(4'000); pause > 0; --pause) { asm volatile("" ::: "memory"); }
      if (!write_text(*pair.other, text)) {
        pair.other->set_starved();
        for (;;) {
          pair.other->arm();
          const bool has_room = write_text(*pair.other, text);
          if (!has_room && !for_writer.wait()) {
            lost = true;
            return;
          }
          pair.other->disarm();
          if (has_room || write_text(*pair.other, text)) { break; }
        }
        pair.other->clear_starved();
      }
      pair.other->publish();
    }
  });
  std::string copy;
  std::uint64_t wrong = 0;
  for (std::uint64_t i = 0; i < kRecords && !lost;) {
    const auto record = pair.one->read(copy);
    if (!record) { continue; }
    if (record->size() != text.size()) { ++wrong; }
    ++i;
    pair.one->release();
    if (pair.one->other_is_starved() && pair.one->must_wake()) { for_writer.ring(); }
  }
  writing.join();
  CHECK_FALSE(lost);
  CHECK(wrong == 0);
  CHECK_FALSE(pair.one->broken());
}

}  // namespace
}  // namespace handoff
