// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>
#include <variant>

#include "rpc/session_calls.hpp"
#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"

/// How requests of a connection are refused.
namespace handoff {

/// Answers a batch with a single error, as if its replies were too long.
void SessionCalls::answer_not_run(std::string_view body, Framing framing, NotRun why,
                                  std::string& out) {
  const ErrorCode code = why == NotRun::busy ? ErrorCode::busy : ErrorCode::shutting_down;
  const std::string_view message = why == NotRun::busy
                                       ? "busy: the server holds as much as it may (--max-memory)"
                                       : "the server is shutting down, and did not run the call";
  const ParsedBody parsed = context_.parser().parse(body, dialect_);
  context_.count_requests(parsed.requests.size());
  if (parsed.is_batch) { return refuse({code, message, {}, Dialect::json_rpc}, framing, out); }
  const ParsedRequest& first = parsed.requests.front();
  if (const auto* bad = std::get_if<BadRequest>(&first)) { return refuse(*bad, framing, out); }
  const auto& request = std::get<Request>(first);
  dialect_ = request.dialect;
  const Method* method = context_.find_and_count(request.method);
  log_answer(request, code);
  if (request.is_notification()) { return; }
  context_.count_method_error(code, ServerContext::slot_of(method));
  append_refusal({code, message, request.id, request.dialect}, framing, out);
}

void SessionCalls::refuse(const BadRequest& bad, Framing framing, std::string& out) {
  log_refusal(bad.code);
  append_refusal(bad, framing, out);
}

void SessionCalls::append_refusal(const BadRequest& bad, Framing framing, std::string& out) {
  const bool is_ordered = bad.dialect == Dialect::article && bad.id.empty();
  const bool must_wait = is_ordered && under_way_ && !under_way_->order.empty();
  std::string reply;
  std::string& target = must_wait ? reply : out;
  FrameWriter writer(target, framing);
  append_error(target, bad.dialect, bad.code, bad.message, {}, bad.id);
  writer.finish();
  context_.count_error(bad.code);
  if (must_wait) { keep_in_order(reply); }
}

}  // namespace handoff
