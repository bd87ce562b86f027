// SPDX-License-Identifier: MIT
#include <exception>
#include <optional>
#include <utility>

#include "rpc/call_log.hpp"
#include "rpc/session_calls.hpp"
#include "wire/frame_writer.hpp"

/// Implements how the calls of a connection end, and how their replies leave.
namespace handoff {

void SessionCalls::finished(SessionCall& call, const ResultView& result) {
  if (context_.held_ends().are_held()) { return context_.held_ends().hold(call, result); }
  end(call, result);
}

void SessionCalls::end(SessionCall& call, const ResultView& result) {
  std::string& out = context_.output();
  out.clear();
  call.give_turn();
  context_.deadlines().disarm(call);
  under_way_->running.remove(call);
  under_way_->held -= call.held();
  context_.call_ends();
  context_.count_call(call.begun(), call.method().slot);
  try {
    encode(call, result, out);
    owner_.replies_ready(out);
    start_waiting();
  } catch (const std::exception& error) { owner_.call_failed(error.what()); }
  if (!call.has_place()) { context_.pools().give_back(call); }
  count_held(owner_.surroundings().held);
  if (!any()) {
    drop_order();
    context_.pools().give_back(std::move(under_way_));
  }
  owner_.call_ended();
}

/// Encodes the reply of a call that has ended, and puts into `out` what can be sent now: nothing if
/// the reply must wait for others, or this reply and those that have waited for it.
void SessionCalls::encode(SessionCall& call, const ResultView& result, std::string& out) {
  const ReplyTarget& target = call.target();
  const Surroundings now = owner_.surroundings();
  if (now.phase == SessionPhase::closed) {
    log_end(call, result.code);
    if (call.has_place()) { under_way_->order.remove(call); }
    return;
  }
  const bool must_wait = call.has_place() && !under_way_->order.is_first(call);
  const bool is_sent = target.is_wanted && !target.batch && !must_wait;
  std::string& text = is_sent ? out : context_.body();
  if (!is_sent) { text.clear(); }
  const bool is_framed = target.is_wanted && !target.batch;
  std::optional<FrameWriter> writer;
  if (is_framed) { writer.emplace(text, now.framing); }
  const std::size_t start = text.size();
  std::string name;
  const ErrorCode error = append_result(text, {target.dialect, call.quoted_name(name), call.id()},
                                        result, context_.limits().max_frame);
  estimate_.reply_came(text.size() - start);
  if (target.is_wanted) { context_.count_error(error, call.method().slot); }
  log_end(call, error);
  if (writer) { writer->finish(); }
  if (target.batch) { return add_to_batch(target, text, out); }
  if (must_wait) {
    under_way_->order.keep(call, text);
    return call.clear();  // only the reply waits
  }
  if (call.has_place()) { leave_in_order(call, out); }
}

/// The client is asked for its address only if calls are logged.
void SessionCalls::log_instant(const Request& request, ErrorCode code) {
  context_.call_log()->ended(request.method, owner_.peer(), code, context_.take_start_of_instant());
}

void SessionCalls::refuse(const BadRequest& bad, Framing framing, std::string& out) {
  log_refusal(bad.code);
  append_refusal(bad, framing, out);
}

void SessionCalls::log_refusal(ErrorCode code) {
  if (const CallLog* log = context_.call_log()) { log->refused(owner_.peer(), code); }
}

void SessionCalls::log_end(const SessionCall& call, ErrorCode code) const {
  if (const CallLog* log = context_.call_log()) {
    log->ended(call.view().method, call.view().peer, code, call.begun());
  }
}

void SessionCalls::add_to_batch(const ReplyTarget& target, std::string_view body,
                                std::string& out) {
  BatchReplies& batch = *target.batch;
  under_way_->held -= batch.held();
  if (target.is_wanted) { batch.add(body); }
  if (batch.call_ends()) {
    return context_.count_error(batch.finish(out, owner_.surroundings().framing));
  }
  under_way_->held += batch.held();
}

/// Removes the first place, whose reply has left, and lets the replies after it follow as far as
/// they are ready.
void SessionCalls::leave_in_order(SessionCall& first, std::string& out) {
  under_way_->order.remove(first);
  while (ReplyOrder::Place* next = under_way_->order.leave(out)) {
    context_.pools().give_back(static_cast<SessionCall&>(*next));
  }
}

/// Keeps a reply until those before it have left.
void SessionCalls::keep_in_order(const std::string& reply) {
  SessionCall& place = context_.pools().take_call();
  under_way_->order.add(place);
  under_way_->order.keep(place, reply);
}

/// Drops the replies that are left when no calls are under way: no client waits for them.
void SessionCalls::drop_order() {
  while (ReplyOrder::Place* place = under_way_->order.first()) {
    under_way_->order.remove(*place);
    context_.pools().give_back(static_cast<SessionCall&>(*place));
  }
}

}  // namespace handoff
