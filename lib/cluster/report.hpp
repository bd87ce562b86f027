// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string_view>

namespace handoff {

/// How much a line matters to whoever runs the server.
enum class Severity {
  error,   ///< something went wrong
  info,    ///< a change that an operator wants to see: started, stopped
  detail,  ///< everything else
};

/// Where a life cycle says what happens: one line, without the tool's name.
using Report = std::function<void(Severity, std::string_view)>;

}  // namespace handoff
