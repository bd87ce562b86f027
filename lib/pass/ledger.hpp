// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/os/fd.hpp>
#include <handoff/wire/errors.hpp>

#include "os/sealed_memory.hpp"
#include "pass/ledger_entry.hpp"
#include "pass/method_name.hpp"

namespace handoff::ledger {

/// The codes under which errors are counted, in the order of their counters; one more counter after
/// them counts all others.
inline constexpr std::array kCountedErrors = {
    ErrorCode::parse_error,      ErrorCode::invalid_request,
    ErrorCode::method_not_found, ErrorCode::invalid_params,
    ErrorCode::internal_error,   ErrorCode::handler_failed,
    ErrorCode::timed_out,        ErrorCode::busy,
    ErrorCode::worker_died,      ErrorCode::shutting_down,
    ErrorCode::unreachable};

/// Returns the index of the counter for an error's code.
std::size_t error_counter(ErrorCode code);
/// Returns the code that a counter counts, such as "-32601", or "other".
std::string name_of_error_counter(std::size_t counter);

/// The number of counters of calls by their duration. The counter i counts the calls of at most 2^i
/// microseconds that no counter before it has counted; the last one counts all longer calls too.
/// Instant methods are not counted.
inline constexpr std::size_t kDurations = 32;

/// The counters of one thread of a worker, for all its calls or for those of one method. Only that
/// thread writes them, so adding needs only a plain load and store; any thread or process that has
/// the memory may read them at any time.
struct alignas(64) Counters {
  std::atomic<std::uint64_t> requests;      ///< requests since the start
  std::atomic<std::uint64_t> active_calls;  ///< calls that have begun or wait; 0 for one method
  std::array<std::atomic<std::uint64_t>, kCountedErrors.size() + 1> errors;
  std::array<std::atomic<std::uint64_t>, kDurations> durations;
  std::atomic<std::uint64_t> call_time;  ///< the sum of the durations, in nanoseconds

  static void add(std::atomic<std::uint64_t>& counter, std::uint64_t count) {
    counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
  }
  void count_error(int code);
  void count_call(std::chrono::nanoseconds duration);
};

/// The values of the counters at one moment, added up over threads and workers.
struct Totals {
  std::uint64_t requests = 0;
  std::uint64_t active_calls = 0;
  std::array<std::uint64_t, kCountedErrors.size() + 1> errors{};
  std::array<std::uint64_t, kDurations> durations{};
  std::uint64_t call_time = 0;

  /// Returns the number of calls whose durations are counted.
  std::uint64_t calls() const;
  Totals& operator+=(const Totals& other);
};

/// The size of a ledger.
struct Shape {
  std::uint32_t passed =
      0;  ///< entries for connections that the master passes; the master assigns them
  std::uint32_t accepted =
      0;  ///< entries after those, for connections that the worker accepts itself
  std::uint32_t threads = 1;  ///< threads that have counters; rounded up to a power of two
  std::uint32_t methods = 0;  ///< methods that have counters: 0 or kMethodSlots
};

/// The most entries of each kind: connections beyond them have no entry.
inline constexpr std::uint32_t kMaxEntries = 1U << 20U;
inline constexpr std::uint32_t kMaxThreads = 1024;

/// The ledger of one worker: a header, the counters, the entries, and if the worker counts by
/// method the names of its methods and their counters. The file is sparse: an entry that was never
/// used costs no memory.
class Ledger {
 public:
  /// Makes a ledger for a worker, in the master. Returns it with its file, which the caller sends
  /// to the worker and closes. Numbers of `shape` above the maxima are reduced to them. Throws
  /// SystemError if there is no descriptor or no memory, or if RLIMIT_FSIZE forbids so long a file.
  static std::pair<Ledger, Fd> make(Shape shape);
  /// Maps the file that the master has sent, in the worker; the caller may close the file
  /// afterwards. Throws SystemError, and ProtocolError if the file is no ledger.
  static Ledger open(const Fd& file);

  const Shape& shape() const { return shape_; }
  /// Returns an entry; `index` is below shape().passed + shape().accepted.
  Entry& entry(std::uint32_t index) const { return entries_[index]; }
  /// Returns the counters of a thread; the threads of a worker count from 0, and a number that is
  /// too high shares the counters of another one.
  Counters& counters(std::uint32_t thread) const {
    return counters_[thread & (shape_.threads - 1)];
  }
  /// Returns the sum of the counters of all threads.
  Totals totals() const;

  /// Returns the name of a slot; `slot` is below shape().methods.
  MethodName& method_name(MethodSlot slot) const { return method_names_[slot]; }
  /// Returns the slot that has this name, or kOtherMethods if none has.
  MethodSlot slot_of(std::string_view name) const;
  /// Returns the counters of a thread for each of kMethodSlots slots; null if shape().methods is 0.
  Counters* method_counters(std::uint32_t thread) const {
    if (shape_.methods == 0) { return nullptr; }
    return method_counters_ + std::size_t{thread & (shape_.threads - 1)} * kMethodSlots;
  }
  /// Returns the sum of a slot's counters over all threads; `slot` is below shape().methods.
  Totals totals_of(MethodSlot slot) const;

  /// Returns Totals::active_calls at less cost.
  std::uint64_t active_calls() const;

 private:
  Ledger(Mapping memory, Shape shape);

  Mapping memory_;
  Shape shape_;
  Counters* counters_;
  Entry* entries_;
  MethodName* method_names_;
  Counters* method_counters_;
};

}  // namespace handoff::ledger
