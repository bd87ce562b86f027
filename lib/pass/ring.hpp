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

/// The state of one side of a pair of rings, at the start of the memory that only this side writes.
struct RingState {
  /// The bytes of the side's records since the start. Records up to here are complete.
  alignas(64) std::atomic<std::uint64_t> written;
  /// The bytes of the other side's records that this side has released.
  alignas(64) std::atomic<std::uint64_t> read;
  /// It is odd while the side waits and must be woken.
  alignas(64) std::atomic<std::uint32_t> sleeping;
  /// It is not 0 while the side has something to write and no room for it.
  std::atomic<std::uint32_t> starved;
  /// It is not 0 if the side checks the other's `revoked_from` before it begins a record.
  std::atomic<std::uint32_t> heeds_revocation;
  /// It is 0, or 1 more than the position from which on the side takes back its records, unless the
  /// other side has begun them. It has a cache line of its own, because the other side loads it for
  /// each record.
  alignas(64) std::atomic<std::uint64_t> revoked_from;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// One side of two single-producer single-consumer rings of records, in memory that two processes
/// share. Each side has one memory that only it writes: its state, and the records that it
/// produces. So there is no lock, and a side that writes garbage damages only its own memory.
///
/// Nothing from the other side is trusted: its numbers are checked, and each record is copied once
/// before it is examined. One thread at a time uses an end.
class RingEnd {
 public:
  /// Returns the size of one side's memory, in bytes, for records of up to `longest` bytes.
  static std::size_t memory_size(std::size_t longest);

  /// Uses the two memories; `own` must be writable. Throws InvalidArgument if one of them has a
  /// size that memory_size() never returns.
  RingEnd(Mapping own, Mapping other);

  /// Returns the length of the longest record that fits into this side's ring at all, in bytes.
  std::size_t longest() const { return own_.capacity - kHeaderSize; }

  /// Adds a record that consists of these parts, one after the other. Returns false if there is no
  /// room for it now, or if broken(). The other side sees it after publish().
  bool write(std::span<const std::string_view> parts);
  /// Lets the other side see all records that were written.
  void publish();
  /// Returns the position at which the last record that was written ends, in bytes since the start.
  std::uint64_t written() const { return written_; }
  /// Returns the position up to which the other side has released this side's records.
  std::uint64_t read_by_other() const { return other_.state->read.load(std::memory_order_acquire); }

  /// Copies the next record of the other side to `copy`, followed by ReceiveBuffer::kPadding
  /// readable bytes. Returns a view of the copy, or nothing if there is no record or the ring is
  /// broken().
  std::optional<std::string_view> read(std::string& copy);
  /// Returns whether the other side has published a record that was not read.
  bool has_record() const { return other_.state->written.load(std::memory_order_acquire) != read_; }
  /// Releases everything that was read so far: its room belongs to the other side again.
  void release();

  /// Tells the other side that this side begins a record only with release_to_begin().
  void heed_revocations();
  /// Does what release() does. Returns whether the record that was read last may be begun; if not,
  /// the other side has taken it back.
  bool release_to_begin();
  /// Returns whether the other side has called heed_revocations().
  bool other_heeds_revocations() const;
  /// Takes back this side's records from this position on, unless the other side has begun them.
  /// Returns a position: the other side begins no record that ends after it. Only the other side
  /// knows whether it begins the records before that. The revocation lasts until end_revocation(),
  /// and covers records that are written meanwhile.
  std::uint64_t revoke(std::uint64_t from);
  void end_revocation();

  /// Returns whether the other side has written a number that cannot be right. Nothing more is read
  /// or written then.
  bool broken() const { return broken_; }

  /// A side that wants to sleep arms itself, checks once more for work, and waits. A side that
  /// writes for an armed side wakes it. A side may be armed when it is armed, and disarmed when it
  /// is not.
  void arm();
  void disarm();
  /// Returns whether the other side waits for what was published or released, once for each of its
  /// sleeps. If so, the caller wakes it.
  bool must_wake();
  /// set_starved() tells the other side, which checks after its release(), that this side has
  /// something to write and no room for it; clear_starved() ends that.
  void set_starved();
  void clear_starved();
  /// Returns whether the other side waits for the room that release() has just given back.
  bool other_is_starved() const;

 private:
  static constexpr std::size_t kHeaderSize = 8;
  /// The memory of one side.
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
  std::uint64_t last_read_ = 0;  ///< the position of the record that was read last
  std::uint32_t sleeps_ = 0;
  std::uint32_t woken_ = 0;  ///< the sleep of the other side that this side has ended
  std::uint32_t starved_ = 0;
  bool broken_ = false;
};

}  // namespace handoff
