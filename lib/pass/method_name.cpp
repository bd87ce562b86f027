// SPDX-License-Identifier: MIT
#include "pass/method_name.hpp"

#include <algorithm>
#include <cassert>

#include "os/printable.hpp"
#include "os/utf8.hpp"

namespace handoff::ledger {

bool is_method_name(std::string_view name) {
  const auto marks =
      std::count_if(name.begin(), name.end(), [](char c) { return c == '"' || c == '\\'; });
  if (name.empty() || name.size() + static_cast<std::size_t>(marks) > kMaxMethodName) {
    return false;
  }
  while (!name.empty()) {
    const Utf8Character first = first_utf8_character(name);
    if (first.size == 0 || is_control_character(first.code_point)) { return false; }
    name.remove_prefix(first.size);
  }
  return true;
}

void MethodName::store(std::string_view name) {
  assert(name.size() <= kMaxMethodName);
  std::copy(name.begin(), name.end(), text.begin());
  size.store(static_cast<std::uint8_t>(name.size()), std::memory_order_release);
}

std::optional<std::string> MethodName::load() const {
  const std::size_t length = size.load(std::memory_order_acquire);
  if (length == 0) { return std::nullopt; }
  std::string name(text.data(), std::min(length, kMaxMethodName));
  if (length > kMaxMethodName || !is_method_name(name)) { return std::string(kNameOfOthers); }
  return name;
}

}  // namespace handoff::ledger
