// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "async/reactor.hpp"
#include "rpc/call_gate.hpp"
#include "wire/errors.hpp"

namespace handoff {

/// A call as a handler gets it.
struct Call {
  std::string method;
  std::string params;  ///< validated JSON
  std::string id;      ///< validated JSON, empty when the caller gave none
  std::string peer;    ///< the client's address as text
  TimePoint deadline = kNever;
  std::shared_ptr<CallGate>
      gate{};  ///< with SessionLimits::begins_elsewhere; no matter of a handler
};

/// What a handler gives: a result, or an error.
struct Result {
  std::string json;  ///< JSON: the result, or an error's `data` (may be empty)
  ErrorCode code{};  ///< 0 for a result
  std::string message;

  static Result success(std::string json) { return {std::move(json), ErrorCode{}, {}}; }
  static Result error(ErrorCode code, std::string message, std::string data = {}) {
    return {std::move(data), code, std::move(message)};
  }
  bool is_error() const { return code != ErrorCode{}; }
};

}  // namespace handoff
