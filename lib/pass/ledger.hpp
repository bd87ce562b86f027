// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "os/fd.hpp"
#include "os/sealed_memory.hpp"
#include "pass/ledger_entry.hpp"
#include "wire/errors.hpp"

namespace handoff::ledger {

/// The codes that errors are counted under, in the order of their counters; the last counter is for
/// any other.
inline constexpr std::array kCountedErrors = {
    ErrorCode::parse_error,      ErrorCode::invalid_request,
    ErrorCode::method_not_found, ErrorCode::invalid_params,
    ErrorCode::internal_error,   ErrorCode::handler_failed,
    ErrorCode::timed_out,        ErrorCode::busy,
    ErrorCode::worker_died,      ErrorCode::shutting_down,
    ErrorCode::unreachable};

/// The number of the counter of an error's code.
std::size_t error_counter(ErrorCode code);
/// The code that a counter is for, such as "-32601", or "other".
std::string name_of_error_counter(std::size_t counter);

/// Counters of calls by their duration: number i counts those of at most 2^i microseconds that no
/// counter before it has counted, the last one all that took longer. Instant methods have none.
inline constexpr std::size_t kDurations = 32;

/// The counters of one thread of a worker. Only that thread writes them, so a plain load and store
/// are enough to add; anyone may read them at any time.
struct alignas(64) Counters {
  std::atomic<std::uint64_t> requests;      ///< since the start
  std::atomic<std::uint64_t> active_calls;  ///< that have begun or wait
  std::array<std::atomic<std::uint64_t>, kCountedErrors.size() + 1> errors;
  std::array<std::atomic<std::uint64_t>, kDurations> durations;
  std::atomic<std::uint64_t> call_time;  ///< the sum of these durations, in nanoseconds

  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t count) {
    counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void count_error(int code);
  void count_call(std::chrono::nanoseconds duration);
};

/// What the counters said at one moment, added up over threads and workers.
struct Totals {
  std::uint64_t requests = 0;
  std::uint64_t active_calls = 0;
  std::array<std::uint64_t, kCountedErrors.size() + 1> errors{};
  std::array<std::uint64_t, kDurations> durations{};
  std::uint64_t call_time = 0;

  Totals& operator+=(const Totals& other);
};

/// How much a ledger has room for.
struct Shape {
  std::uint32_t passed = 0;    ///< entries that the master gives to connections that it passes
  std::uint32_t accepted = 0;  ///< those after them: for connections that the worker accepts itself
  std::uint32_t threads = 1;   ///< rounded up to a power of two
};

/// Entries of each kind at most: what is beyond has none.
inline constexpr std::uint32_t kMaxEntries = 1U << 20U;
inline constexpr std::uint32_t kMaxThreads = 1024;

/// One worker's ledger: a header, the counters, the entries. The file is sparse: an entry that was
/// never used costs no memory.
class Ledger {
 public:
  /// The master makes it. Numbers of `shape` above the maxima are cut down to them. Throws
  /// SystemError when there is no descriptor or no memory, or a file may not be so long.
  static std::pair<Ledger, Fd> make(Shape shape);
  /// The worker maps the file that the master has sent. Throws SystemError, and ProtocolError when
  /// the file is no ledger.
  static Ledger open(const Fd& file);

  const Shape& shape() const { return shape_; }
  /// `index` is below shape().passed + shape().accepted.
  Entry& entry(std::uint32_t index) const { return entries_[index]; }
  /// Any thread number will do; those of one worker count from 0.
  Counters& counters(std::uint32_t thread) const {
    return counters_[thread & (shape_.threads - 1)];
  }
  Totals totals() const;
  /// That part of totals(), at less cost.
  std::uint64_t active_calls() const;

 private:
  Ledger(Mapping memory, Shape shape);

  Mapping memory_;
  Shape shape_;
  Counters* counters_;
  Entry* entries_;
};

}  // namespace handoff::ledger
