// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

namespace load {

/// The command line is wrong.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline std::system_error system_error(const std::string& attempt) {
  return {errno, std::generic_category(), attempt};
}

/// A connected, blocking stream socket, which the caller closes. The address is 127.0.0.1:port,
/// [::1]:port, :port, /path, ./path or @name; one that is not on this machine is a UsageError.
int connect_to(const std::string& address);

}  // namespace load
