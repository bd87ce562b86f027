// SPDX-License-Identifier: MIT
#include "cli/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "os/error.hpp"

namespace handoff {

void Log::write(std::string_view text) const {
  const std::string line = fmt::format("{}: {}\n", tool_, text);
  // There is nobody to tell when stderr itself fails.
  [[maybe_unused]] const ssize_t size =
      retry([&] { return ::write(STDERR_FILENO, line.data(), line.size()); });
}

}  // namespace handoff
