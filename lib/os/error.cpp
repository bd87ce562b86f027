// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <cstring>
#include <utility>

#include <handoff/os/error.hpp>

namespace handoff {

std::string error_text(int error_number) {
  const char* text = strerrordesc_np(error_number);
  return text != nullptr ? std::string(text) : fmt::format("error {}", error_number);
}

SystemError::SystemError(int error_number, std::string_view attempt, std::string_view object)
    : error_number_(error_number),
      attempt_(attempt),
      object_(object),
      text_(fmt::format("cannot {}{}{}: {}", attempt, object.empty() ? "" : " ", object,
                        error_text(error_number))) {}

SystemError SystemError::sentence(int error_number, std::string text) {
  SystemError error;
  error.error_number_ = error_number;
  error.text_ = std::move(text);
  return error;
}

}  // namespace handoff
