// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace handoff::ledger {

/// The number of methods for which a ledger has counters.
inline constexpr std::uint32_t kMethodSlots = 64;

/// The index of a method's counters. The first two are not of one method: clients may invent any
/// number of names, and a worker may have more methods than there are slots.
using MethodSlot = std::uint8_t;
inline constexpr MethodSlot kOtherMethods = 0;    ///< the methods that have no slot of their own
inline constexpr MethodSlot kUnknownMethods = 1;  ///< the names that no method has
inline constexpr std::string_view kNameOfOthers = "(other)";
inline constexpr std::string_view kNameOfUnknown = "(unknown)";

/// The longest name of a method for which a ledger has room, in bytes.
inline constexpr std::size_t kMaxMethodName = 63;

/// Returns whether a method of this name can have a slot: the name is UTF-8 without control
/// characters, and has 1 to kMaxMethodName bytes, where a quotation mark and a backslash count as
/// two, because they need a backslash in the metrics.
bool is_method_name(std::string_view name);

/// The name of a slot, in the memory of a ledger. The worker writes it once, before it counts calls
/// there; the master may read it at any time.
struct alignas(64) MethodName {
  std::atomic<std::uint8_t> size;  ///< 0 while the slot is not used
  std::array<char, kMaxMethodName> text;

  /// Stores a name of at most kMaxMethodName bytes.
  void store(std::string_view name);
  /// Returns a copy of the name, which may be false, or nothing if the slot is not used. A name
  /// that is no is_method_name() is returned as kNameOfOthers.
  std::optional<std::string> load() const;
};
static_assert(sizeof(MethodName) == 64);

}  // namespace handoff::ledger
