// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "pass/ring.hpp"
#include "unit/pass/ring_pair.hpp"
#include "unit/support.hpp"

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
  RingPair pair;
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
  RingPair pair;
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
  RingPair pair;
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
