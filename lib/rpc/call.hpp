// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/clock.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {

/// A call as a handler gets it. It owns its texts.
struct Call {
  std::string method;
  std::string params;           ///< valid JSON; "null" if the client sent none
  std::string id;               ///< valid JSON; empty if the client sent none
  std::string peer;             ///< the client's address, as SocketAddress::text() writes it
  TimePoint deadline = kNever;  ///< when the server stops waiting for the handler and replies that
                                ///< the call has timed out
};

/// A view of a call, whose texts are kept elsewhere: it is valid only as long as they are.
struct CallView {
  std::string_view method;
  std::string_view params;
  std::string_view id;
  std::string_view peer;
  TimePoint deadline = kNever;
};

/// The outcome of a call: a result, or an error. Handlers return it, and so does Client::call().
struct Result {
  std::string json;     ///< JSON text: the result, or the error's `data`, which may be empty
  ErrorCode code{};     ///< 0 for a result; an error may have a number that ErrorCode does not list
  std::string message;  ///< for an error: one line for a person

  /// Returns a result. `json` is JSON text.
  static Result success(std::string json) { return {std::move(json), ErrorCode{}, {}}; }
  /// Returns an error. `data` is JSON text with further details, or empty.
  static Result error(ErrorCode code, std::string message, std::string data = {}) {
    return {std::move(data), code, std::move(message)};
  }
  bool is_error() const { return code != ErrorCode{}; }
};

/// A view of a result, whose texts are kept elsewhere: it is valid only as long as they are.
struct ResultView {
  std::string_view json;
  ErrorCode code{};
  std::string_view message;

  ResultView() = default;
  /// Makes a view of `result`, which must outlive it.
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
