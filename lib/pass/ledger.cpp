// SPDX-License-Identifier: MIT
#include "pass/ledger.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace handoff::ledger {
namespace {

constexpr std::array<char, 4> kMagic = {'H', 'O', 'L', 'G'};
constexpr std::uint32_t kVersion = 1;

/// The beginning of the memory. Integers have the byte order of the machine.
struct Header {
  std::array<char, 4> magic;
  std::uint32_t version;
  std::uint32_t passed;
  std::uint32_t accepted;
  std::uint32_t threads;
};

constexpr std::size_t kHeaderSize = 64;
static_assert(sizeof(Header) <= kHeaderSize && sizeof(Counters) % 64 == 0);

std::size_t size_of(const Shape& shape) {
  return kHeaderSize + shape.threads * sizeof(Counters) +
         (std::size_t{shape.passed} + shape.accepted) * sizeof(Entry);
}

std::uint64_t value(const std::atomic<std::uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

bool is_possible(const Shape& shape) {
  return shape.passed <= kMaxEntries && shape.accepted <= kMaxEntries &&
         shape.threads <= kMaxThreads && std::has_single_bit(shape.threads);
}

}  // namespace

std::size_t error_counter(ErrorCode code) {
  const auto* const found = std::find(kCountedErrors.begin(), kCountedErrors.end(), code);
  return static_cast<std::size_t>(found - kCountedErrors.begin());
}

std::string name_of_error_counter(std::size_t counter) {
  if (counter >= kCountedErrors.size()) { return "other"; }
  return std::to_string(static_cast<int>(kCountedErrors[counter]));
}

void Counters::count_error(int code) {
  add(errors[error_counter(static_cast<ErrorCode>(code))], 1);
}

void Counters::count_call(std::chrono::nanoseconds duration) {
  const auto nanos = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
  // A duration of exactly 2^i microseconds belongs to the counter i, which says "at most".
  const std::uint64_t micros = nanos == 0 ? 0 : (nanos - 1) / 1000;
  const auto width = static_cast<std::size_t>(std::bit_width(micros));
  add(durations[std::min(width, kDurations - 1)], 1);
  add(call_time, nanos);
}

Totals& Totals::operator+=(const Totals& other) {
  requests += other.requests;
  active_calls += other.active_calls;
  for (std::size_t i = 0; i < errors.size(); ++i) { errors[i] += other.errors[i]; }
  for (std::size_t i = 0; i < durations.size(); ++i) { durations[i] += other.durations[i]; }
  call_time += other.call_time;
  return *this;
}

Ledger::Ledger(Mapping memory, Shape shape)
    : memory_(std::move(memory)),
      shape_(shape),
      counters_(reinterpret_cast<Counters*>(memory_.data() + kHeaderSize)),
      entries_(reinterpret_cast<Entry*>(memory_.data() + kHeaderSize +
                                        shape.threads * sizeof(Counters))) {}

std::pair<Ledger, Fd> Ledger::make(Shape shape) {
  shape.passed = std::min(shape.passed, kMaxEntries);
  shape.accepted = std::min(shape.accepted, kMaxEntries);
  shape.threads = std::bit_ceil(std::clamp(shape.threads, 1U, kMaxThreads));
  SharedMemory memory = make_memory_for_both("handoff-ledger", size_of(shape));
  const Header header{kMagic, kVersion, shape.passed, shape.accepted, shape.threads};
  std::memcpy(memory.mapping.data(), &header, sizeof header);
  return {Ledger(std::move(memory.mapping), shape), std::move(memory.file)};
}

Ledger Ledger::open(const Fd& file) {
  Mapping memory = Mapping::writable(file.get());
  Header header{};
  if (memory.size() >= kHeaderSize) { std::memcpy(&header, memory.data(), sizeof header); }
  const Shape shape{header.passed, header.accepted, header.threads};
  if (header.magic != kMagic || header.version != kVersion || !is_possible(shape) ||
      memory.size() != size_of(shape)) {
    throw ProtocolError("cannot use the ledger: the master sent something else");
  }
  return Ledger(std::move(memory), shape);
}

std::uint64_t Ledger::active_calls() const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < shape_.threads; ++i) { sum += value(counters_[i].active_calls); }
  return sum;
}

Totals Ledger::totals() const {
  Totals totals;
  for (std::uint32_t i = 0; i < shape_.threads; ++i) {
    const Counters& one = counters_[i];
    totals.requests += value(one.requests);
    totals.active_calls += value(one.active_calls);
    for (std::size_t j = 0; j < totals.errors.size(); ++j) {
      totals.errors[j] += value(one.errors[j]);
    }
    for (std::size_t j = 0; j < kDurations; ++j) { totals.durations[j] += value(one.durations[j]); }
    totals.call_time += value(one.call_time);
  }
  return totals;
}

}  // namespace handoff::ledger
