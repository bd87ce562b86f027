// SPDX-License-Identifier: MIT
#include "rpc/handlers.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "os/error.hpp"
#include "os/version.hpp"

namespace handoff {

void Handlers::insert(std::string name, Method method) {
  if (name.empty()) throw InvalidArgument("method: a method needs a name");
  if (const auto [at, inserted] = methods_.emplace(name, std::move(method)); !inserted) {
    throw InvalidArgument(fmt::format("method, on {}: there is one of this name already", name));
  }
}

void Handlers::add(std::string name, Handler handler) {
  std::string quoted = quote_json(name);
  insert(std::move(name), {std::move(quoted), {}, std::move(handler)});
}

void Handlers::add_instant(std::string name, InstantHandler handler) {
  // The article's server answers "ping" with "pong".
  std::string quoted = quote_json(name == "ping" ? "pong" : name);
  insert(std::move(name), {std::move(quoted), std::move(handler), {}});
}

const Method* Handlers::find(std::string_view name) const {
  const auto found = methods_.find(name);
  return found == methods_.end() ? nullptr : &found->second;
}

std::vector<std::string> Handlers::names() const {
  std::vector<std::string> names;
  for (const auto& [name, method] : methods_) names.push_back(name);
  return names;
}

void add_built_in_methods(Handlers& handlers, int worker) {
  const auto params = [](const Request& request) { return request.params; };
  handlers.add_instant("ping", params);
  handlers.add_instant("echo", params);
  handlers.add_instant("methods", [&handlers, text = std::string()](const Request&) mutable {
    text = nlohmann::json(handlers.names()).dump();
    return std::string_view(text);
  });
  const nlohmann::ordered_json info = {
      {"pid", getpid()}, {"worker", worker}, {"version", kVersion}};
  handlers.add_instant("info",
                       [text = info.dump()](const Request&) { return std::string_view(text); });
}

}  // namespace handoff
