// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

/// Reads and writes the integers of frames, channel messages and handovers: unsigned, least
/// significant byte first, at any alignment. A queue's shared memory is not encoded by these
/// functions: there integers have the byte order and the alignment of the machine.
namespace handoff {
namespace bytes_internal {

/// The type in which the shifts are done: an unsigned type of at least 32 bits, because a smaller
/// one would be promoted to a signed int.
template <typename Number>
using Wide = std::conditional_t<sizeof(Number) == 8, std::uint64_t, std::uint32_t>;

/// The loop is written as a fold expression because GCC and clang then compile it to one load.
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

/// Returns the integer that `bytes` encode.
template <std::unsigned_integral Number>
Number load_little_endian(std::span<const char, sizeof(Number)> bytes) {
  return bytes_internal::load<Number>(bytes.data(), std::make_index_sequence<sizeof(Number)>());
}

/// Encodes `value` into `bytes`.
template <std::unsigned_integral Number>
void store_little_endian(std::span<char, sizeof(Number)> bytes, Number value) {
  bytes_internal::store(bytes.data(), value, std::make_index_sequence<sizeof(Number)>());
}

/// Appends the sizeof(Number) bytes that encode `value` to `out`.
template <std::unsigned_integral Number>
void append_little_endian(std::string& out, Number value) {
  char bytes[sizeof value];
  store_little_endian<Number>(bytes, value);
  out.append(bytes, sizeof bytes);
}

}  // namespace handoff
