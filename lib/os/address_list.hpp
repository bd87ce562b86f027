// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/address.hpp>

namespace handoff {

/// Returns whether a word is written as an address: with a colon or a slash in it, or a leading @.
bool is_written_as_address(std::string_view word);

/// The addresses of servers of which each will do, in the order in which they were written; at
/// least one.
struct AddressList {
  std::vector<Address> all;
  std::string text;  ///< as a person would write them again

  AddressList() = default;
  /// A single address is a list of one.
  // NOLINTNEXTLINE(google-explicit-constructor): most callers have a single address
  AddressList(Address address) : text(address.text) { all.push_back(std::move(address)); }

  /// Returns whether one of the addresses is of this kind.
  bool has(Address::Kind kind) const;
  /// Reads addresses with commas between them. A comma with a word behind it that is not written as
  /// an address belongs to the address before, which may be a path, and so does everything that
  /// follows `exec:`. Throws InvalidArgument as Address::parse() does.
  static AddressList parse(std::string_view text);
};

}  // namespace handoff
