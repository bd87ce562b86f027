// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "os/sealed_memory.hpp"

namespace handoff {

/// What one side of a pair of rings tells the other, at the start of its memory.
struct RingState {
  /// Bytes of its records, since the start. What it counts is whole.
  alignas(64) std::atomic<std::uint64_t> written;
  /// Bytes of the other's records that it is done with.
  alignas(64) std::atomic<std::uint64_t> read;
  /// Odd while it waits, and must be woken.
  alignas(64) std::atomic<std::uint32_t> sleeping;
  /// Not 0 while it has something to write and no room for it.
  std::atomic<std::uint32_t> starved;
  /// Not 0 when it looks at the other's `revoked_from` before it begins a record.
  std::atomic<std::uint32_t> heeds_revocation;
  /// 0, or 1 more than the position from which on its records are taken back, as far as the other
  /// side has not begun them. On a cache line of its own: the other side loads it for each record.
  alignas(64) std::atomic<std::uint64_t> revoked_from;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// One side of two one-producer one-consumer rings of records, in memory that two processes share.
/// Each side has one memory that only it writes: its state, and the records that it produces. So
/// there is no lock, and what one side destroys is its own.
///
/// The other side is trusted in nothing: what it says is checked, and each record is copied once,
/// before anybody looks at it.
class RingEnd {
 public:
  /// The bytes of a side's memory, for records of up to `longest` bytes.
  static std::size_t memory_size(std::size_t longest);

  /// `own` is writable. Throws InvalidArgument when one of them has no size that memory_size()
  /// gives.
  RingEnd(Mapping own, Mapping other);

  /// Bytes of the longest record that can be written at all.
  std::size_t longest() const { return own_.capacity - kHeaderSize; }

  /// Adds a record, made of these parts one behind the other; false when there is no room for it
  /// now. The other side sees it after publish().
  bool write(std::span<const std::string_view> parts);
  void publish();
  /// Where the last record that was written ends.
  std::uint64_t written() const { return written_; }
  /// Up to where the other side is done with our records.
  std::uint64_t read_by_other() const { return other_.state->read.load(std::memory_order_acquire); }

  /// Copies the next record of the other side, with ReceiveBuffer::kPadding readable bytes behind
  /// it. Nothing when there is none, or `broken()`.
  std::optional<std::string_view> read(std::string& copy);
  bool has_record() const { return other_.state->written.load(std::memory_order_acquire) != read_; }
  /// Tells the other side that everything read so far is done with.
  void release();

  /// Says that this side begins what it reads with release_to_begin() only.
  void heed_revocations();
  /// The same as release(). Returns whether the record that was read last may be begun; if not, the
  /// other side has taken it back.
  bool release_to_begin();
  bool other_heeds_revocations() const;
  /// Takes back our records from this position on, as far as the other side has not begun them: of
  /// those that end later than the position that this returns it begins none. Whether it begins the
  /// ones before, only the other side can tell. It counts until end_revocation(), and for what is
  /// written meanwhile.
  std::uint64_t revoke(std::uint64_t from);
  void end_revocation();

  /// The other side has said what can't be. Nothing more is read from it or written.
  bool broken() const { return broken_; }

  /// Sleep is: arm, look again, wait. Whoever writes to an armed side wakes it. A side that is
  /// armed may be armed again, and one that is not, disarmed.
  void arm();
  void disarm();
  /// Whether the other side waits for what was published or released: once for each sleep.
  bool must_wake();
  /// set_starved() tells the other side, which asks after its release(), that we have something to
  /// write and no room for it; clear_starved() that this is over.
  void set_starved();
  void clear_starved();
  /// Asked after release(): whether the other side waits for that.
  bool other_is_starved() const;

 private:
  static constexpr std::size_t kHeaderSize = 8;
  /// One side's memory.
  struct Side {
    explicit Side(Mapping memory);
    Mapping mapping;
    RingState* state;
    char* records;
    std::size_t capacity;  ///< a power of two
  };
  void store_starved(std::uint32_t starved);
  static std::size_t size_with_header(std::size_t size);
  static std::uint64_t header_at(const Side& side, std::uint64_t at);
  void set_header(std::uint64_t size);
  static void copy_out(const Side& from, std::uint64_t at, std::span<char> to);
  void copy_in(std::uint64_t at, std::string_view bytes);

  Side own_;
  Side other_;
  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;
  std::uint64_t last_read_ = 0;  ///< where the record begins that was read last
  std::uint32_t sleeps_ = 0;
  std::uint32_t woken_ = 0;  ///< the sleep of the other side that we have ended
  std::uint32_t starved_ = 0;
  bool broken_ = false;
};

}  // namespace handoff
