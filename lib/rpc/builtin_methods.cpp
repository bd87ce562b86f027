// SPDX-License-Identifier: MIT
#include "rpc/builtin_methods.hpp"

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "os/version.hpp"

namespace handoff {

void add_built_in_methods(MethodTable& table, int worker) {
  const auto add = [&table](const char* name, InstantHandler handler) {
    if (!table.has(name)) { table.add_instant(name, std::move(handler)); }
  };
  const auto params = [](const Request& request) { return request.params; };
  add("ping", params);
  add("echo", params);
  add("methods", [&table, text = std::string()](const Request&) mutable {
    using nlohmann::json;
    text = json(table.names()).dump(-1, ' ', false, json::error_handler_t::replace);
    return std::string_view(text);
  });
  const nlohmann::ordered_json info = {
      {"pid", getpid()}, {"worker", worker}, {"version", kVersion}};
  add("info", [text = info.dump()](const Request&) { return std::string_view(text); });
}

}  // namespace handoff
