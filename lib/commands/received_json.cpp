// SPDX-License-Identifier: MIT
#include "commands/received_json.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>

#include "os/describe_fd.hpp"

namespace handoff {

std::string lines_about(const Received& received) {
  std::string lines;
  for (std::size_t i = 0; i < received.descriptors.size(); ++i) {
    nlohmann::ordered_json line;
    if (!received.names[i].empty()) { line["name"] = received.names[i]; }
    for (const auto& [field, value] : describe_descriptor(received.descriptors[i].get())) {
      if (field == "listening" || field == "deleted" || field == "o_path") {
        line[field] = true;
      } else {
        line[field] = value;
      }
    }
    using nlohmann::json;
    lines += line.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
  }
  return lines;
}

}  // namespace handoff
