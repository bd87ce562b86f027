// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace handoff {

/// How much a line matters to the operator of a server.
enum class Severity {
  error,   ///< something went wrong
  info,    ///< a change that an operator wants to see: started, stopped
  detail,  ///< everything else
};

/// A function that logs one line, given without the tool's name.
using Report = std::function<void(Severity, std::string_view)>;

/// Returns a function that logs with this severity, for a LimitedLine.
inline std::function<void(std::string_view)> saying(Report report, Severity severity) {
  return [report = std::move(report), severity](std::string_view text) { report(severity, text); };
}

/// Returns a number with a noun: "1 worker", "2 workers".
inline std::string counted(std::size_t count, std::string_view noun) {
  return std::to_string(count).append(" ").append(noun).append(count == 1 ? "" : "s");
}

/// Returns a duration as "20s" or "1500ms".
inline std::string in_words(std::chrono::nanoseconds duration) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + "s" : std::to_string(ms) + "ms";
}

}  // namespace handoff
