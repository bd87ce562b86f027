// SPDX-License-Identifier: MIT
#include "pass/ledger.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

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
  std::uint32_t methods;
};

constexpr std::size_t kHeaderSize = 64;
static_assert(sizeof(Header) <= kHeaderSize && sizeof(Counters) % 64 == 0);

/// The positions of the parts of the file, and its size.
struct Layout {
  explicit Layout(const Shape& shape)
      : entries(counters + shape.threads * sizeof(Counters)),
        method_names(entries + (std::size_t{shape.passed} + shape.accepted) * sizeof(Entry)),
        method_counters(method_names + shape.methods * sizeof(MethodName)),
        size(method_counters + std::size_t{shape.methods} * shape.threads * sizeof(Counters)) {}

  std::size_t counters = kHeaderSize;
  std::size_t entries;
  std::size_t method_names;
  std::size_t method_counters;
  std::size_t size;
};

/// The most that one counter, and the sum of the durations, can be without being false: the sums of
/// many fit into 64 bits.
constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 48U;
constexpr std::uint64_t kMaxCallTime = std::uint64_t{1} << 58U;

std::uint64_t value(const std::atomic<std::uint64_t>& counter, std::uint64_t most = kMaxCount) {
  return std::min(counter.load(std::memory_order_relaxed), most);
}

Totals values(const Counters& counters) {
  Totals totals;
  totals.requests = value(counters.requests);
  totals.active_calls = value(counters.active_calls);
  for (std::size_t i = 0; i < totals.errors.size(); ++i) {
    totals.errors[i] = value(counters.errors[i]);
  }
  for (std::size_t i = 0; i < kDurations; ++i) {
    totals.durations[i] = value(counters.durations[i]);
  }
  totals.call_time = value(counters.call_time, kMaxCallTime);
  return totals;
}

bool is_possible(const Shape& shape) {
  return shape.passed <= kMaxEntries && shape.accepted <= kMaxEntries &&
         shape.threads <= kMaxThreads && std::has_single_bit(shape.threads) &&
         (shape.methods == 0 || shape.methods == kMethodSlots);
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

std::uint64_t Totals::calls() const {
  return std::accumulate(durations.begin(), durations.end(), std::uint64_t{0});
}

Totals& Totals::operator+=(const Totals& other) {
  requests += other.requests;
  active_calls += other.active_calls;
  for (std::size_t i = 0; i < errors.size(); ++i) { errors[i] += other.errors[i]; }
  for (std::size_t i = 0; i < durations.size(); ++i) { durations[i] += other.durations[i]; }
  call_time += other.call_time;
  return *this;
}

Ledger::Ledger(Mapping memory, Shape shape) : memory_(std::move(memory)), shape_(shape) {
  const Layout layout(shape);
  char* const start = memory_.data();
  counters_ = reinterpret_cast<Counters*>(start + layout.counters);
  entries_ = reinterpret_cast<Entry*>(start + layout.entries);
  method_names_ = reinterpret_cast<MethodName*>(start + layout.method_names);
  method_counters_ = reinterpret_cast<Counters*>(start + layout.method_counters);
}

std::pair<Ledger, Fd> Ledger::make(Shape shape) {
  shape.passed = std::min(shape.passed, kMaxEntries);
  shape.accepted = std::min(shape.accepted, kMaxEntries);
  shape.threads = std::bit_ceil(std::clamp(shape.threads, 1U, kMaxThreads));
  shape.methods = shape.methods == 0 ? 0 : kMethodSlots;
  SharedMemory memory = make_memory_for_both("handoff-ledger", Layout(shape).size);
  const Header header{kMagic, kVersion, shape.passed, shape.accepted, shape.threads, shape.methods};
  std::memcpy(memory.mapping.data(), &header, sizeof header);
  return {Ledger(std::move(memory.mapping), shape), std::move(memory.file)};
}

Ledger Ledger::open(const Fd& file) {
  Mapping memory = Mapping::writable(file.get());
  Header header{};
  if (memory.size() >= kHeaderSize) { std::memcpy(&header, memory.data(), sizeof header); }
  const Shape shape{header.passed, header.accepted, header.threads, header.methods};
  if (header.magic != kMagic || header.version != kVersion || !is_possible(shape) ||
      memory.size() != Layout(shape).size) {
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
  for (std::uint32_t i = 0; i < shape_.threads; ++i) { totals += values(counters_[i]); }
  return totals;
}

MethodSlot Ledger::slot_of(std::string_view name) const {
  for (std::uint32_t i = 0; i < shape_.methods; ++i) {
    const auto slot = static_cast<MethodSlot>(i);
    if (method_names_[slot].load() == name) { return slot; }
  }
  return kOtherMethods;
}

Totals Ledger::totals_of(MethodSlot slot) const {
  Totals totals;
  for (std::uint32_t i = 0; i < shape_.threads; ++i) { totals += values(method_counters(i)[slot]); }
  return totals;
}

}  // namespace handoff::ledger
