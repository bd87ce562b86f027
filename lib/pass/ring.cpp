// SPDX-License-Identifier: MIT
#include "pass/ring.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "os/error.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {
namespace {

/// The records begin after the state, on a page of their own.
constexpr std::size_t kStateSize = 4096;
static_assert(sizeof(RingState) <= kStateSize);

constexpr std::size_t kLeastCapacity = std::size_t{64} * 1024;

}  // namespace

std::size_t RingEnd::memory_size(std::size_t longest) {
  return kStateSize + std::bit_ceil(std::max(longest + kHeaderSize, kLeastCapacity));
}

RingEnd::Side::Side(Mapping memory)
    : mapping(std::move(memory)),
      state(reinterpret_cast<RingState*>(mapping.data())),
      records(mapping.data() + kStateSize),
      capacity(mapping.size() - kStateSize) {
  if (mapping.size() < kStateSize + kLeastCapacity || !std::has_single_bit(capacity)) {
    throw InvalidArgument("ring: the memory has no size of one");
  }
}

RingEnd::RingEnd(Mapping own, Mapping other) : own_(std::move(own)), other_(std::move(other)) {}

/// Records begin at multiples of 8, so that a header never wraps around.
std::size_t RingEnd::size_with_header(std::size_t size) {
  return (kHeaderSize + size + 7) & ~std::size_t{7};
}

void RingEnd::copy_out(const Side& from, std::uint64_t at, std::span<char> to) {
  const std::size_t start = at & (from.capacity - 1);
  const std::size_t first = std::min(to.size(), from.capacity - start);
  std::memcpy(to.data(), from.records + start, first);
  if (first < to.size()) { std::memcpy(to.data() + first, from.records, to.size() - first); }
}

void RingEnd::copy_in(std::uint64_t at, std::string_view bytes) {
  if (bytes.empty()) { return; }
  const std::size_t start = at & (own_.capacity - 1);
  const std::size_t first = std::min(bytes.size(), own_.capacity - start);
  std::memcpy(own_.records + start, bytes.data(), first);
  if (first < bytes.size()) {
    std::memcpy(own_.records, bytes.data() + first, bytes.size() - first);
  }
}

std::uint64_t RingEnd::header_at(const Side& side, std::uint64_t at) {
  std::uint64_t header = 0;
  std::memcpy(&header, side.records + (at & (side.capacity - 1)), sizeof header);
  return header;
}

void RingEnd::set_header(std::uint64_t size) {
  std::memcpy(own_.records + (written_ & (own_.capacity - 1)), &size, sizeof size);
}

bool RingEnd::write(std::span<const std::string_view> parts) {
  std::size_t size = 0;
  for (const std::string_view part : parts) { size += part.size(); }
  const std::size_t taken = written_ - read_by_other();
  if (broken_ || taken > own_.capacity) {
    broken_ = true;
    return false;
  }
  if (size_with_header(size) > own_.capacity - taken) { return false; }
  set_header(size);
  std::uint64_t at = written_ + kHeaderSize;
  for (const std::string_view part : parts) {
    copy_in(at, part);
    at += part.size();
  }
  written_ += size_with_header(size);
  return true;
}

void RingEnd::publish() {
  own_.state->written.store(written_, std::memory_order_release);
}

std::optional<std::string_view> RingEnd::read(std::string& copy) {
  const std::uint64_t there = other_.state->written.load(std::memory_order_acquire) - read_;
  if (there == 0 || broken_) { return std::nullopt; }
  std::uint64_t size = 0;
  if (there >= kHeaderSize && there <= other_.capacity) {
    size = header_at(other_, read_);
  } else {
    broken_ = true;
  }
  // The size is checked by itself first: the sum could overflow.
  if (broken_ || size > other_.capacity || size_with_header(size) > there) {
    broken_ = true;
    return std::nullopt;
  }
  if (copy.capacity() < size + ReceiveBuffer::kPadding) {
    copy.reserve(2 * size + ReceiveBuffer::kPadding);
  }
  copy.resize(size);
  copy_out(other_, read_ + kHeaderSize, copy);
  last_read_ = read_;
  read_ += size_with_header(size);
  return copy;
}

void RingEnd::release() {
  own_.state->read.store(read_, std::memory_order_release);
}

void RingEnd::heed_revocations() {
  own_.state->heeds_revocation.store(1, std::memory_order_relaxed);
}

bool RingEnd::other_heeds_revocations() const {
  return other_.state->heeds_revocation.load(std::memory_order_relaxed) != 0;
}

// This side's store must be visible before its load that follows, and the other side has the store
// and the load the other way round: so at least one side sees what the other has done.

bool RingEnd::release_to_begin() {
  release();
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint64_t from = other_.state->revoked_from.load(std::memory_order_relaxed);
  return from == 0 || last_read_ < from - 1;
}

std::uint64_t RingEnd::revoke(std::uint64_t from) {
  own_.state->revoked_from.store(from + 1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return read_by_other();
}

/// The other side sees this store before it sees what is published later.
void RingEnd::end_revocation() {
  own_.state->revoked_from.store(0, std::memory_order_relaxed);
}

void RingEnd::arm() {
  if (sleeps_ % 2 == 0) { own_.state->sleeping.store(++sleeps_, std::memory_order_relaxed); }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void RingEnd::disarm() {
  if (sleeps_ % 2 == 0) { return; }
  own_.state->sleeping.store(++sleeps_, std::memory_order_relaxed);
}

bool RingEnd::must_wake() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::uint32_t sleeping = other_.state->sleeping.load(std::memory_order_relaxed);
  if (sleeping % 2 == 0 || sleeping == woken_) { return false; }
  woken_ = sleeping;
  return true;
}

bool RingEnd::other_is_starved() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return other_.state->starved.load(std::memory_order_relaxed) != 0;
}

void RingEnd::set_starved() {
  store_starved(1);
}

void RingEnd::clear_starved() {
  store_starved(0);
}

void RingEnd::store_starved(std::uint32_t starved) {
  if (std::exchange(starved_, starved) == starved) { return; }
  own_.state->starved.store(starved, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace handoff
