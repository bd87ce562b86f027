// SPDX-License-Identifier: MIT
#include "commands/call_options.hpp"

#include <algorithm>

#include <handoff/wire/json_text.hpp>

namespace handoff {

bool is_json_rpc_params(std::string_view json) {
  const std::size_t begin = json.find_first_not_of(" \t\r\n");
  json.remove_prefix(std::min(begin, json.size()));
  return is_structured(json) || json.starts_with('n');
}

}  // namespace handoff
