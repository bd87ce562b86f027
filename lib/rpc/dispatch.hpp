// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/rpc/call.hpp>
#include <handoff/rpc/method_table.hpp>
#include <handoff/wire/request.hpp>

#include "async/race.hpp"
#include "wire/message_writer.hpp"

/// The one way from a request and its method to its result: decide whether it has to wait, run it,
/// and see that the reply is not too long. A result that leaves it is fit for a reply: a result
/// and an error's data are one JSON value each, and an exception has become an error.
namespace handoff {

/// Whether a method that can answer at once may do so, or other calls are before it.
enum class Instant : std::uint8_t { answers_now, waits_in_line };

/// The result of a method that has answered at once. The JSON is valid until the next call of the
/// same method; the name is the method's.
struct InstantReply {
  std::string_view quoted_name;
  std::string_view json;
};

/// The method takes time, or has to wait: run it with run_method().
struct StartCall {
  const Method* method;
};

/// How a request is answered. A Result is an error; one for a method that nobody has added, too.
using Dispatched = std::variant<InstantReply, Result, StartCall>;
/// `method` is what the table has for the request; null: there is no such method.
Dispatched dispatch(const Method* method, const Request& request, Instant instant);

/// Runs any kind of method on the reactor, which must outlive the task, as `method` must. A
/// handler under Supervision::server is ended at the call's deadline, and by `client_left` if that
/// is given.
Task<Result> run_method(Reactor& reactor, const Method& method, Call call,
                        Cancellation* client_left = nullptr);

/// The same with the method that the call names. The reactor and the table must outlive the task.
Task<Result> run_call(Reactor& reactor, const MethodTable& table, Call call);

/// The result of a call whose client has left, which nobody gets to see.
Result result_for_no_client();

/// What a reply needs so that its client understands it. The name and the id are JSON; an empty id
/// is none.
struct ReplyTo {
  Dialect dialect = Dialect::article;
  std::string_view quoted_name{};
  std::string_view id{};
};

/// Puts the error of reply_too_long() in the place of what stands in `out` from `start` on.
void replace_long_reply(std::string& out, std::size_t start, const ReplyTo& to, std::size_t limit);

/// Appends the body of a reply. One of more than `limit` bytes becomes an error that says so.
/// Returns the code of the error that was appended, or 0.
ErrorCode append_result(std::string& out, const ReplyTo& to, const ResultView& result,
                        std::size_t limit);
inline ErrorCode append_result(std::string& out, const ReplyTo& to, std::string_view json,
                               std::size_t limit) {
  const std::size_t start = out.size();
  append_reply(out, to.dialect, to.quoted_name, json, to.id);
  if (out.size() - start <= limit) { return ErrorCode(); }
  replace_long_reply(out, start, to, limit);
  return ErrorCode::handler_failed;
}

/// The error of a reply of more than `limit` bytes.
Result reply_too_long(std::size_t limit);

}  // namespace handoff
