// SPDX-License-Identifier: MIT
#include "rpc/dispatch.hpp"

#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/wire/json_text.hpp>

#include "rpc/awaited_call.hpp"

namespace handoff {
namespace {

Result invalid(std::string_view what, std::string_view problem) {
  return Result::error(ErrorCode::handler_failed,
                       fmt::format("the method's {} is not JSON: {}", what, problem));
}

/// Replaces a result that is not JSON by an error: it would break the reply that contains it, and
/// could pass for replies to other calls.
Result checked(Result result) {
  if (result.is_error() && result.json.empty()) { return result; }
  const auto problem = json_problem(result.json);
  if (!problem) { return result; }
  return invalid(result.is_error() ? "error data" : "result", *problem);
}

/// Returns the error for the exception that is being handled.
Result result_of_exception() {
  try {
    throw;
  } catch (const std::exception& error) {
    return Result::error(ErrorCode::internal_error, error.what());
  } catch (...) {
    return Result::error(ErrorCode::internal_error, "the method threw no std::exception");
  }
}

Dispatched answer_now(const Method& method, const Request& request) {
  try {
    const std::string_view json = method.instant(request);
    // The request was validated when it was parsed.
    const bool is_params =
        json.data() == request.params.data() && json.size() == request.params.size();
    if (is_params) { return InstantReply{method.quoted_name, json}; }
    if (const auto problem = json_problem(json)) { return invalid("result", *problem); }
    return InstantReply{method.quoted_name, json};
  } catch (...) { return result_of_exception(); }
}

/// The most bytes of a method's name that an error repeats to the client that sent it.
constexpr std::size_t kMaxNameInMessage = 100;

Result no_such_method(std::string_view name) {
  return Result::error(ErrorCode::method_not_found,
                       fmt::format("no such method: {}", name.substr(0, kMaxNameInMessage)));
}

Task<Result> give(Result result) {
  co_return result;
}

// The method table keeps the executor, and run_method says who keeps the table.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> await_call(Reactor& reactor, CallExecutor& executor, Call call) {
  AwaitedCall awaited(reactor, executor, std::move(call));
  awaited.begin();
  co_await awaited.answered;
  Result result = awaited.take_result();
  co_return result;
}

}  // namespace

Result result_for_no_client() {
  return Result::error(ErrorCode::handler_failed, "the client has left");
}

Result reply_too_long(std::size_t limit) {
  return Result::error(ErrorCode::handler_failed,
                       fmt::format("the reply exceeds the limit of {} bytes", limit));
}

Dispatched dispatch(const Method* method, const Request& request, Instant instant) {
  if (method == nullptr) { return no_such_method(request.method); }
  // A pattern's reply has the name of the call, which has yet to be quoted.
  const bool may_answer_now = method->instant && !method->quoted_name.empty();
  if (!may_answer_now || instant == Instant::waits_in_line) { return StartCall{method}; }
  return answer_now(*method, request);
}

// The caller keeps the reactor and the method until the task has ended, as the header says.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> run_method(Reactor& reactor, const Method& method, Call call,
                        Cancellation* client_left) {
  if (method.instant) {
    Dispatched answer = answer_now(method, {call.method, call.params, call.id});
    if (auto* error = std::get_if<Result>(&answer)) { co_return std::move(*error); }
    co_return Result::success(std::string(std::get<InstantReply>(answer).json));
  }
  try {
    const TimePoint deadline = call.deadline;
    Task<Result> task = method.executor != nullptr
                            ? await_call(reactor, *method.executor, std::move(call))
                            : method.handler(std::move(call));
    if (method.supervision == Supervision::handler) { co_return co_await std::move(task); }
    Raced<Result> raced = co_await race(reactor, std::move(task), deadline, client_left);
    switch (raced.end) {
      case RaceEnd::finished: co_return checked(std::move(*raced.value));
      case RaceEnd::deadline:
        co_return Result::error(ErrorCode::timed_out, "the method did not answer in time");
      case RaceEnd::cancelled: co_return result_for_no_client();
    }
  } catch (...) { co_return result_of_exception(); }
  co_return Result();
}

Task<Result> run_call(Reactor& reactor, const MethodTable& table, Call call) {
  const Method* method = table.find(call.method);
  if (method == nullptr) { return give(no_such_method(call.method)); }
  return run_method(reactor, *method, std::move(call));
}

void replace_long_reply(std::string& out, std::size_t start, const ReplyTo& to, std::size_t limit) {
  out.resize(start);
  append_error(out, to.dialect, ErrorCode::handler_failed, reply_too_long(limit).message, {},
               to.id);
}

ErrorCode append_result(std::string& out, const ReplyTo& to, const ResultView& result,
                        std::size_t limit) {
  if (!result.is_error()) { return append_result(out, to, result.json, limit); }
  const std::size_t start = out.size();
  append_error(out, to.dialect, result.code, result.message, result.json, to.id);
  if (out.size() - start <= limit) { return result.code; }
  replace_long_reply(out, start, to, limit);
  return ErrorCode::handler_failed;
}

}  // namespace handoff
