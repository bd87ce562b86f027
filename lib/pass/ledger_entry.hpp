// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/dialect.hpp"
#include "wire/framing.hpp"

/// A worker's record of its connections, in memory that it shares with its master, which reads it
/// after the worker has died. handoff-wire(7), THE LEDGER, specifies the states and the order of
/// the stores.
namespace handoff::ledger {

/// The state of a connection. The master writes `passed` and `taken`, the worker all others.
enum class State : std::uint8_t {
  free,      ///< no connection has this entry
  passed,    ///< the connection is on its way to the worker
  received,  ///< the worker has it and has not read from it
  idle,      ///< everything that was read is answered, and the kernel has the answers
  running,   ///< one request was read, and no byte of its reply was written
  silent,    ///< one request was read that gets no reply
  busy,      ///< any other state of a connection that the worker serves
  closed,    ///< the worker has ended it
  taken,     ///< the master has taken it back before the worker received it
};

/// The longest id of a request, as JSON text, for which an entry has room, in bytes. A connection
/// whose call has a longer id is `busy`.
inline constexpr std::size_t kMaxId = 59;

/// The entry of one connection. It fills a cache line, and no store to it is a system call or takes
/// a lock.
///
/// The word holds the state, the connection's framing and dialect, and a generation: an entry is
/// used again, and a process that takes a connection by compare-and-exchange must not take the next
/// one in the entry.
struct alignas(64) Entry {
  std::atomic<std::uint32_t> word;
  std::uint8_t id_size;
  std::array<char, kMaxId> id;

  /// Returns the state. Only for the process that owns the entry; others use a Snapshot.
  State state() const { return static_cast<State>(word.load(std::memory_order_relaxed) & 0xffU); }
  /// Stores the state, and keeps framing and dialect. Only for the process that owns the entry.
  void store(State state) {
    const std::uint32_t now = word.load(std::memory_order_relaxed);
    word.store((now & ~std::uint32_t{0xff}) | static_cast<std::uint32_t>(state),
               std::memory_order_release);
  }
  /// Stores the state and how the client speaks. Only for the process that owns the entry.
  void store(State state, Framing framing, Dialect dialect) {
    const std::uint32_t generation = word.load(std::memory_order_relaxed) >> 16U;
    word.store(word_of(state, framing, dialect, static_cast<std::uint16_t>(generation)),
               std::memory_order_release);
  }
  /// Stores `running` with the id of the request, which is empty if it has none, and has at most
  /// kMaxId bytes.
  void store_running(std::string_view id, Framing framing, Dialect dialect);
  /// Makes the first store of a connection. `state` is `passed`, or `received` if a worker has
  /// accepted the connection itself.
  void begin(State state, std::uint16_t generation, Framing framing, Dialect dialect) {
    word.store(word_of(state, framing, dialect, generation), std::memory_order_release);
  }
  /// Changes the state from `passed` to `next`, which is `received` for the worker and `taken` for
  /// the master. Returns false if the other process was first, or if the generation is another one.
  bool take(State next, std::uint16_t generation);

  static constexpr std::uint32_t word_of(State state, Framing framing, Dialect dialect,
                                         std::uint16_t generation) {
    return static_cast<std::uint32_t>(state) | static_cast<std::uint32_t>(framing) << 8U |
           static_cast<std::uint32_t>(dialect) << 12U | std::uint32_t{generation} << 16U;
  }
};
static_assert(sizeof(Entry) == 64);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/// A checked copy of an entry as it was at one moment. A worker may have written anything to the
/// entry.
class Snapshot {
 public:
  /// An entry whose state, framing or dialect does not exist, or that is `running` with an id that
  /// is no JSON string or number, counts as `busy`.
  explicit Snapshot(const Entry& entry);

  State state() const { return state_; }
  Framing framing() const { return framing_; }
  Dialect dialect() const { return dialect_; }
  std::uint16_t generation() const { return generation_; }
  /// Returns the id of the request that is `running`; empty if it has none.
  std::string_view id() const { return {id_.data(), id_size_}; }

 private:
  State state_ = State::busy;
  Framing framing_ = Framing::unknown;
  Dialect dialect_ = Dialect::article;
  std::uint16_t generation_ = 0;
  std::size_t id_size_ = 0;
  std::array<char, kMaxId> id_{};
};

}  // namespace handoff::ledger
