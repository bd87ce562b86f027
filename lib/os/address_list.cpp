// SPDX-License-Identifier: MIT
#include "os/address_list.hpp"

#include <algorithm>
#include <cstddef>

namespace handoff {
namespace {

/// Returns where the first address in `text` ends: at a comma, or at the end.
std::size_t end_of_first(std::string_view text) {
  if (text.starts_with("exec:")) { return text.size(); }
  for (std::size_t comma = text.find(','); comma != std::string_view::npos;
       comma = text.find(',', comma + 1)) {
    const std::string_view next = text.substr(comma + 1);
    const bool is_command = next.starts_with("exec:");
    if (is_command || is_written_as_address(next.substr(0, next.find(',')))) { return comma; }
  }
  return text.size();
}

}  // namespace

bool is_written_as_address(std::string_view word) {
  return word.find_first_of(":/") != std::string_view::npos || word.starts_with('@');
}

bool AddressList::has(Address::Kind kind) const {
  return std::any_of(all.begin(), all.end(),
                     [kind](const Address& address) { return address.kind == kind; });
}

AddressList AddressList::parse(std::string_view text) {
  AddressList list;
  for (;;) {
    const std::size_t end = end_of_first(text);
    list.all.push_back(Address::parse(text.substr(0, end)));
    if (!list.text.empty()) { list.text += ','; }
    list.text += list.all.back().text;
    if (end == text.size()) { return list; }
    text.remove_prefix(end + 1);
  }
}

}  // namespace handoff
