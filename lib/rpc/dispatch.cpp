// SPDX-License-Identifier: MIT
#include "rpc/dispatch.hpp"

#include <fmt/format.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "wire/json_text.hpp"

namespace handoff {
namespace {

Result invalid(std::string_view what, std::string_view problem) {
  return Result::error(ErrorCode::handler_failed,
                       fmt::format("the method's {} is not JSON: {}", what, problem));
}

/// A result that is no JSON would break the reply that it stands in, and could pass for other
/// replies to other calls.
Result checked(Result result) {
  if (result.is_error() && result.json.empty()) return result;
  const auto problem = json_problem(result.json);
  if (!problem) return result;
  return invalid(result.is_error() ? "error data" : "result", *problem);
}

/// Must be called while an exception is handled.
Result result_of_exception() {
  try {
    throw;
  } catch (const std::exception& error) {
    return Result::error(ErrorCode::internal_error, error.what());
  } catch (...) {
    return Result::error(ErrorCode::internal_error, "the method threw no std::exception");
  }
}

}  // namespace

Result result_for_no_client() {
  return Result::error(ErrorCode::handler_failed, "the client has left");
}

InstantResult run_instant(const Method& method, const Request& request) {
  try {
    const std::string_view json = method.instant(request);
    // The request was validated when it was parsed.
    const bool is_params =
        json.data() == request.params.data() && json.size() == request.params.size();
    if (is_params) return json;
    if (const auto problem = json_problem(json)) return invalid("result", *problem);
    return json;
  } catch (...) {
    return result_of_exception();
  }
}

Task<Result> run_method(Reactor& reactor, const Method& method, Call call,
                        Cancellation* client_left) {
  if (method.instant) {
    InstantResult result = run_instant(method, {call.method, call.params, call.id});
    if (auto* error = std::get_if<Result>(&result)) co_return std::move(*error);
    co_return Result::success(std::string(std::get<std::string_view>(result)));
  }
  try {
    const TimePoint deadline = call.deadline;
    Task<Result> task = method.handler(std::move(call));
    if (method.supervision == Supervision::handler) co_return co_await std::move(task);
    Raced<Result> raced = co_await race(reactor, std::move(task), deadline, client_left);
    switch (raced.end) {
      case RaceEnd::finished: co_return checked(std::move(*raced.value));
      case RaceEnd::deadline:
        co_return Result::error(ErrorCode::timed_out, "the method did not answer in time");
      case RaceEnd::cancelled: co_return result_for_no_client();
    }
  } catch (...) {
    co_return result_of_exception();
  }
  co_return Result();
}

}  // namespace handoff
