// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/clock.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {

/// A call as a handler gets it. The handler owns the texts.
struct Call {
  std::string method;
  std::string params;  ///< validated JSON; "null" when the client gave none
  std::string id;      ///< validated JSON, empty when the client gave none
  std::string peer;    ///< the client's address, as SocketAddress::text() writes it
  TimePoint deadline =
      kNever;  ///< when the server answers in the handler's place that it timed out
};

/// A call whose texts, those of a Call, are kept elsewhere.
struct CallView {
  std::string_view method;
  std::string_view params;
  std::string_view id;
  std::string_view peer;
  TimePoint deadline = kNever;
};

/// The outcome of a call: a result, or an error. A handler gives it, and Client::call() does.
struct Result {
  std::string json;     ///< JSON: the result, or an error's `data` (may be empty)
  ErrorCode code{};     ///< 0 for a result; of an error also a number that ErrorCode does not list
  std::string message;  ///< of an error: one line for a person

  /// `json` is the result, as JSON text.
  static Result success(std::string json) { return {std::move(json), ErrorCode{}, {}}; }
  /// `data` is JSON text that tells more, or empty.
  static Result error(ErrorCode code, std::string message, std::string data = {}) {
    return {std::move(data), code, std::move(message)};
  }
  bool is_error() const { return code != ErrorCode{}; }
};

/// A Result whose texts are kept elsewhere.
struct ResultView {
  std::string_view json;
  ErrorCode code{};
  std::string_view message;

  ResultView() = default;
  /// A view of a result that outlives it.
  ResultView(const Result& result)  // NOLINT(google-explicit-constructor): a view, as of a string
      : json(result.json), code(result.code), message(result.message) {}

  static ResultView success(std::string_view json) { return {json, ErrorCode{}, {}}; }
  static ResultView error(ErrorCode code, std::string_view message, std::string_view data = {}) {
    return {data, code, message};
  }
  bool is_error() const { return code != ErrorCode{}; }

 private:
  ResultView(std::string_view text, ErrorCode number, std::string_view why)
      : json(text), code(number), message(why) {}
};

}  // namespace handoff
