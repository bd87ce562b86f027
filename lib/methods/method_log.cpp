// SPDX-License-Identifier: MIT
#include "methods/method_log.hpp"

#include <fmt/format.h>

namespace handoff {

void MethodLog::write(std::string_view method, std::string_view line) {
  auto of = methods_.find(method);
  if (of == methods_.end()) {
    of = methods_.try_emplace(std::string(method), reactor_, say_, kBurst).first;
  }
  of->second(fmt::format("method {}: {}", method, line));
}

}  // namespace handoff
