// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <handoff/os/error.hpp>
#include <handoff/rpc/method_table.hpp>
#include <handoff/wire/json_text.hpp>

#include "os/version.hpp"

namespace handoff {

/// The reply to "ping" is named "pong", as handoff-wire(7) says.
std::string quoted_reply_name(std::string_view method) {
  return quote_json(method == "ping" ? "pong" : method);
}

void MethodTable::insert(std::string name, Method method) {
  if (name.empty()) { throw InvalidArgument("cannot add a method: it needs a name"); }
  const bool is_pattern = name == "*" || name.ends_with(".*");
  bool inserted = false;
  if (is_pattern) {
    method.quoted_name.clear();
    inserted = patterns_.emplace(name.substr(0, name.size() - 1), std::move(method)).second;
  } else {
    inserted = methods_.emplace(name, std::move(method)).second;
  }
  if (!inserted) {
    throw InvalidArgument(
        fmt::format("cannot add the method {}: there is one of this name already", name));
  }
}

void MethodTable::add(std::string name, Handler handler, Supervision supervision) {
  std::string quoted = quoted_reply_name(name);
  insert(std::move(name), {std::move(quoted), {}, std::move(handler), supervision, nullptr});
}

void MethodTable::add_instant(std::string name, InstantHandler handler) {
  std::string quoted = quoted_reply_name(name);
  insert(std::move(name),
         {std::move(quoted), std::move(handler), {}, Supervision::server, nullptr});
}

void MethodTable::add_executor(std::string name, CallExecutor& executor) {
  std::string quoted = quoted_reply_name(name);
  insert(std::move(name), {std::move(quoted), {}, {}, Supervision::handler, &executor});
}

const Method* MethodTable::search(std::string_view name) const {
  if (const auto found = methods_.find(name); found != methods_.end()) {
    last_ = &*found;
    return &found->second;
  }
  const Method* best = nullptr;
  std::size_t best_size = 0;
  for (const auto& [start, method] : patterns_) {
    if (!name.starts_with(start) || (best != nullptr && start.size() < best_size)) { continue; }
    best = &method;
    best_size = start.size();
  }
  return best;
}

std::vector<std::string> MethodTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, method] : methods_) { names.push_back(name); }
  for (const auto& [start, method] : patterns_) { names.push_back(start + "*"); }
  return names;
}

void MethodTable::assign_slots(
    const std::function<std::uint8_t(std::string_view name)>& slot_of) const {
  for (const auto& [name, method] : methods_) { method.slot = slot_of(name); }
  for (const auto& [start, method] : patterns_) { method.slot = slot_of(start + "*"); }
}

}  // namespace handoff
