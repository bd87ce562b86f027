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

/// The one way from a request and its method to its result: decide whether the call takes time, run
/// it, and check that the reply is not too long. Every result that leaves here is fit for a reply:
/// results and the data of errors are one JSON value each, and an exception has become an error.
namespace handoff {

/// Says whether a method that can answer at once may do so, or has to wait because other calls come
/// first.
enum class Instant : std::uint8_t { answers_now, waits_in_line };

/// The result of a method that has answered at once. The JSON is valid until the next call of the
/// same method, the name as long as the method.
struct InstantReply {
  std::string_view quoted_name;
  std::string_view json;
};

/// The call takes time, or has to wait: run it with run_method(). The method is valid as long as
/// the table.
struct StartCall {
  const Method* method;
};

/// How a request is answered. A Result is always an error, also that there is no such method.
/// dispatch() does not throw what a method throws: that becomes an error.
using Dispatched = std::variant<InstantReply, Result, StartCall>;
/// `method` is what the table has for the request; null: there is no such method.
Dispatched dispatch(const Method* method, const Request& request, Instant instant);

/// Runs a method of any kind on the reactor. The reactor, `method` and `client_left` must outlive
/// the task. Under Supervision::server, the handler is ended at the call's deadline, and when
/// `client_left`, if not null, is cancelled. What the method throws becomes an error.
Task<Result> run_method(Reactor& reactor, const Method& method, Call call,
                        Cancellation* client_left = nullptr);

/// Finds the method that the call names, and runs it in the same way. The reactor and the table
/// must outlive the task.
Task<Result> run_call(Reactor& reactor, const MethodTable& table, Call call);

/// Returns the error of a call whose client has left. It is only counted, because no client gets
/// it.
Result result_for_no_client();

/// What a reply says besides its result, so that its client can read and match it. The name and the
/// id are JSON; an empty id means none.
struct ReplyTo {
  Dialect dialect = Dialect::article;
  std::string_view quoted_name{};
  std::string_view id{};
};

/// Replaces the bytes of `out` from `start` on by the error of reply_too_long().
void replace_long_reply(std::string& out, std::size_t start, const ReplyTo& to, std::size_t limit);

/// Appends the body of a reply, or, if it would have more than `limit` bytes, an error that says
/// so. Returns the code of the error that was appended, or 0.
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

/// Returns the error that stands for a reply of more than `limit` bytes.
Result reply_too_long(std::size_t limit);

}  // namespace handoff
