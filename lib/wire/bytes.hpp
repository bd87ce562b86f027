// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

/// Integers as they stand in frames, channel messages and handovers: unsigned, least byte first. In
/// the shared memory of a queue they are as the machine has them, and these functions have no part.
namespace handoff {
namespace bytes_internal {

/// The shifts of small integers are those of an unsigned int.
template <typename Number>
using Wide = std::conditional_t<sizeof(Number) == 8, std::uint64_t, std::uint32_t>;

/// Written out, so that a compiler makes it one load.
template <typename Number, std::size_t... at>
Number load(const char* bytes, std::index_sequence<at...>) {
  return static_cast<Number>(
      ((static_cast<Wide<Number>>(static_cast<unsigned char>(bytes[at])) << (8 * at)) | ...));
}

template <typename Number, std::size_t... at>
void store(char* bytes, Number value, std::index_sequence<at...>) {
  ((bytes[at] = static_cast<char>(static_cast<Wide<Number>>(value) >> (8 * at))), ...);
}

}  // namespace bytes_internal

/// The integer that `bytes` hold.
template <std::unsigned_integral Number>
Number load_little_endian(std::span<const char, sizeof(Number)> bytes) {
  return bytes_internal::load<Number>(bytes.data(), std::make_index_sequence<sizeof(Number)>());
}

/// Writes `value` to `bytes`.
template <std::unsigned_integral Number>
void store_little_endian(std::span<char, sizeof(Number)> bytes, Number value) {
  bytes_internal::store(bytes.data(), value, std::make_index_sequence<sizeof(Number)>());
}

/// Appends `value` to `out`.
template <std::unsigned_integral Number>
void append_little_endian(std::string& out, Number value) {
  char bytes[sizeof value];
  store_little_endian<Number>(bytes, value);
  out.append(bytes, sizeof bytes);
}

}  // namespace handoff
