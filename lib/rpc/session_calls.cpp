// SPDX-License-Identifier: MIT
#include "rpc/session_calls.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <variant>

#include "rpc/call_log.hpp"
#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

/// Returns the code of the error with which a request is answered at once, or 0.
ErrorCode code_of(const Dispatched& answer) {
  const auto* error = std::get_if<Result>(&answer);
  return error != nullptr ? error->code : ErrorCode{};
}

/// Returns whether a call that is held back keeps its place among all running calls. It does where
/// places stand for entries of a queue, which it occupies; where a place stands for an execution,
/// another call may use it meanwhile.
bool keeps_place(const SessionLimits& limits) {
  return !limits.reads_on_when_full;
}

}  // namespace

SessionCalls::SessionCalls(ServerContext& context, Owner& owner, Dialect dialect)
    : context_(context),
      owner_(owner),
      share_(*context.limits().memory),
      estimate_(context.limits().connection_memory(), context.limits().max_frame),
      dialect_(dialect) {}

SessionCalls::~SessionCalls() {
  if (!under_way_) { return; }
  while (!under_way_->next.empty()) { drop(under_way_->next.pop_front()); }
  while (!under_way_->running.empty()) {
    SessionCall& call = under_way_->running.pop_front();
    const bool is_begun = call.may_run() && call.method().executor != nullptr;
    if (call.is_put_aside()) {
      context_.held_ends().forget(call);
    } else if (is_begun) {
      call.method().executor->cancel(call);
    }
    drop(call);
  }
  drop_order();
}

CallsUnderWay& SessionCalls::under_way() {
  if (!under_way_) { under_way_ = context_.pools().take_under_way(); }
  return *under_way_;
}

void SessionCalls::answer(std::string_view body, Framing framing, std::string& out) {
  const ParsedBody parsed = context_.parser().parse(body, dialect_);
  context_.count_requests(parsed.requests.size());
  if (parsed.is_batch) { return answer_batch(parsed.requests, framing, out); }
  answer_request(parsed.requests.front(), framing, out);
}

/// Returns whether an instant method may answer now. It takes no time, and so needs no place; but
/// where only one request is executed at a time, requests of a batch, or those read from a client
/// that has left, keep their order.
Instant SessionCalls::instant() const {
  const bool is_in_line = context_.limits().synchronous && !context_.places().available();
  return is_in_line ? Instant::waits_in_line : Instant::answers_now;
}

void SessionCalls::answer_request(const ParsedRequest& parsed, Framing framing, std::string& out) {
  if (const auto* bad = std::get_if<BadRequest>(&parsed)) { return refuse(*bad, framing, out); }
  const auto& request = std::get<Request>(parsed);
  dialect_ = request.dialect;
  const bool is_ordered = request.dialect == Dialect::article && request.id.empty();
  const Method* method = context_.find_and_count(request.method);
  const Dispatched answer = dispatch(method, request, instant());
  if (const auto* call = std::get_if<StartCall>(&answer)) {
    SessionCall& added =
        add_call(*call->method, request, {request.dialect, !request.is_notification(), {}});
    if (is_ordered) { under_way_->order.add(added); }
    return start(added);
  }
  if (request.is_notification()) { return log_answer(request, code_of(answer)); }
  if (is_ordered && under_way_ && !under_way_->order.empty()) {
    std::string reply;
    FrameWriter writer(reply, framing);
    const ErrorCode code = append_answer(request, answer, reply);
    writer.finish();
    log_answer(request, code);
    return keep_in_order(reply);
  }
  FrameWriter writer(out, framing);
  const ErrorCode code = append_answer(request, answer, out);
  writer.finish();
  log_answer(request, code);
}

/// Returns the code of the error that was appended, or 0.
ErrorCode SessionCalls::append_answer(const Request& request, const Dispatched& answer,
                                      std::string& out) {
  const std::size_t limit = context_.limits().max_frame;
  const auto* reply = std::get_if<InstantReply>(&answer);
  const ErrorCode code =
      reply != nullptr
          ? append_result(out, {request.dialect, reply->quoted_name, request.id}, reply->json,
                          limit)
          : append_result(out, {request.dialect, {}, request.id}, std::get<Result>(answer), limit);
  // Looking for the method again costs an error more, and every other reply less.
  if (code != ErrorCode()) {
    context_.count_error(code, ServerContext::slot_of(context_.methods()->find(request.method)));
  }
  return code;
}

/// Runs the requests of a batch at the same time as far as they may; their replies go back
/// together.
void SessionCalls::answer_batch(std::span<const ParsedRequest> requests, Framing framing,
                                std::string& out) {
  const auto batch = std::make_shared<BatchReplies>(context_.limits().max_frame);
  std::string reply;
  for (const ParsedRequest& parsed : requests) {
    reply.clear();
    if (const auto* bad = std::get_if<BadRequest>(&parsed)) {
      append_error(reply, bad->dialect, bad->code, bad->message, {}, bad->id);
      context_.count_error(bad->code);
      log_refusal(bad->code);
      batch->add(reply);
      continue;
    }
    const auto& request = std::get<Request>(parsed);
    dialect_ = request.dialect;
    const Method* method = context_.find_and_count(request.method);
    const Dispatched answer = dispatch(method, request, instant());
    if (const auto* call = std::get_if<StartCall>(&answer)) {
      batch->call_begins();
      start(add_call(*call->method, request, {request.dialect, !request.is_notification(), batch}));
    } else if (request.is_notification()) {
      log_answer(request, code_of(answer));
    } else {
      log_answer(request, append_answer(request, answer, reply));
      batch->add(reply);
    }
  }
  if (!batch->has_calls()) { return context_.count_error(batch->finish(out, framing)); }
  under_way().held += batch->held();
}

SessionCall& SessionCalls::add_call(const Method& method, const Request& request,
                                    ReplyTarget target) {
  CallsUnderWay& calls = under_way();
  SessionCall& call = context_.pools().take_call();
  const TimePoint deadline =
      deadline_after(context_.reactor().now(), context_.limits().call_timeout);
  call.set(*this, request,
           {context_.methods(), &method, owner_.peer(), deadline, context_.start_of_call()},
           std::move(target));
  calls.held += call.held();
  return call;
}

void SessionCalls::start(SessionCall& call) {
  CallsUnderWay& calls = *under_way_;
  const Surroundings now = owner_.surroundings();
  if (now.client_has_left) { calls.client_left.cancel(); }
  context_.call_begins();
  const bool is_held_back = !calls.next.empty() || !may_run_another(now);
  const bool takes_place =
      keeps_place(context_.limits()) && calls.count() < context_.limits().max_calls;
  if (!is_held_back) { return run(call); }
  if (takes_place) {
    if (!context_.places().try_acquire()) { return run(call); }
    call.take_turn(context_.places());
  }
  calls.next.push_back(call);
}

/// Starts a call that may run. A call that has to wait for a place is counted at once, because the
/// session decides by this count whether to read on.
void SessionCalls::run(SessionCall& call) {
  under_way_->running.push_back(call);
  const bool has_place = call.may_run() || context_.places().try_acquire();
  if (has_place) {
    if (!call.may_run()) { call.take_turn(context_.places()); }
    if (call.method().executor != nullptr) { return begin(call); }
  } else {
    ++under_way_->without_place;
  }
  context_.reactor().spawn(run_pending(*this, call));
}

void SessionCalls::begin(SessionCall& call) {
  const HeldEnds::Beginning beginning(context_.held_ends());
  try {
    const TimePoint times_out = call.method().executor->begin(call);
    if (!call.is_put_aside()) { context_.deadlines().arm(call, times_out); }
  } catch (const std::exception& error) {
    finished(call, Result::error(ErrorCode::internal_error, error.what()));
  }
}

/// Starts waiting calls: a batch may have more calls than a connection may run, and calls with long
/// replies may hold up those after them.
void SessionCalls::start_next() {
  CallsUnderWay& calls = *under_way_;
  while (!calls.next.empty() && calls.running.size() < context_.limits().max_calls &&
         may_begin(calls.executing(), owner_.surroundings())) {
    run(calls.next.pop_front());
  }
}

void SessionCalls::drop_waiting() {
  if (!under_way_) { return; }
  while (!under_way_->next.empty()) {
    drop(under_way_->next.pop_front());
    context_.call_ends();
  }
}

/// Drops a call, which is in no list except possibly the order of the replies.
void SessionCalls::drop(SessionCall& call) {
  if (const CallLog* log = context_.call_log()) {
    log->cut_off(call.view().method, call.view().peer, call.begun());
  }
  under_way_->held -= call.held();
  if (call.has_place()) { under_way_->order.remove(call); }
  context_.deadlines().disarm(call);
  context_.pools().give_back(call);
}

std::optional<SessionCalls::OnlyRequest> SessionCalls::only_request() const {
  if (!under_way_ || under_way_->count() != 1) { return std::nullopt; }
  const SessionCall& only =
      under_way_->next.empty() ? under_way_->running.front() : under_way_->next.front();
  const std::size_t own_place = only.has_place() ? 1 : 0;
  if (only.target().batch || under_way_->order.size() > own_place) { return std::nullopt; }
  return OnlyRequest{only.id(), only.target().dialect, only.target().is_wanted};
}

void SessionCalls::end_for_no_client() {
  if (under_way_) { under_way_->client_left.cancel(); }
}

/// Waits for a place, then runs the call. Both count against the call's deadline.
// The session, which has `calls`, and the call itself outlive the task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> SessionCalls::run_pending(SessionCalls& calls, SessionCall& call) {
  Result result;
  bool waits = !call.may_run();
  try {
    ServerContext& context = calls.context_;
    const Method& method = call.method();
    const bool ends_with_client =
        call.target().is_wanted && method.supervision == Supervision::server;
    Cancellation* const client_left = ends_with_client ? &calls.under_way_->client_left : nullptr;
    std::optional<Semaphore::Outcome> outcome = Semaphore::Outcome::acquired;
    if (waits) {
      const auto waited = co_await race(
          context.reactor(), context.places().acquire(call.view().deadline), kNever, client_left);
      outcome = waited.value;
      if (outcome == Semaphore::Outcome::acquired) { call.take_turn(context.places()); }
      calls.has_place();
      waits = false;
      if (call.may_run() && !calls.may_go_on()) { co_return calls.wait_again(call); }
    }
    if (!outcome) {
      result = result_for_no_client();
    } else if (*outcome == Semaphore::Outcome::acquired) {
      if (method.executor != nullptr) { co_return calls.begin(call); }
      const SemaphorePlace turn = call.give_turn();
      result = co_await run_method(context.reactor(), method, call.take_call(), client_left);
    } else if (*outcome == Semaphore::Outcome::full) {
      result = Result::error(ErrorCode::busy, "busy: too many calls wait already");
    } else {
      result = Result::error(ErrorCode::timed_out, "the call did not begin in time");
    }
  } catch (const std::exception& error) {
    calls.owner_.call_failed(error.what());
    if (waits) { calls.has_place(); }
  }
  calls.end(call, result);
}

void SessionCalls::has_place() {
  --under_way_->without_place;
  owner_.call_has_place();
}

/// Puts a call that has got a place back among those that wait, because its connection holds too
/// much.
void SessionCalls::wait_again(SessionCall& call) {
  if (!keeps_place(context_.limits())) { call.give_turn(); }
  under_way_->running.remove(call);
  under_way_->next.push_back(call);
}

/// Returns whether another request may be read beside those that the connection has. Replies that
/// wait for an earlier one count like calls.
SessionCalls::Room SessionCalls::room_beside_others() {
  const SessionLimits& limits = context_.limits();
  if (under_way_) {
    if (under_way_->without_place > 0 && !limits.reads_on_when_full) { return Room::calls; }
    if (under_way_->count() >= limits.max_calls) { return Room::calls; }
    if (under_way_->order.size() >= limits.max_calls) { return Room::calls; }
    if (held() >= limits.connection_memory()) { return Room::calls; }
  }
  if (share_.may_start_call()) { return Room::enough; }
  const bool holds_nothing = !under_way_ && owner_.surroundings().held == 0;
  const bool is_refused = holds_nothing && context_.waiting_for_memory() >= limits.max_waiting;
  return is_refused ? Room::none : Room::memory;
}

/// Returns whether another call may be run, as far as the connection decides. A call that has to
/// wait for a place is asked again when it has got one.
bool SessionCalls::may_run_another(const Surroundings& now) {
  if (under_way_->running.size() >= context_.limits().max_calls) { return false; }
  return !context_.places().available() || may_begin(under_way_->executing(), now);
}

/// Returns whether a call that has got its place may go on.
bool SessionCalls::may_go_on() {
  return may_begin(under_way_->executing() - 1, owner_.surroundings());
}

/// Returns whether a call may be executed beside so many others of the connection.
bool SessionCalls::may_begin(std::size_t others, const Surroundings& now) {
  if (now.phase == SessionPhase::draining) { return true; }
  return others < most_executing(now) && (others == 0 || share_.may_start_call());
}

/// Returns how many calls may be executed at a time: as many as keep to the connection's budget if
/// each has a reply of the expected length. A connection that already holds too much still executes
/// one, unless its client has to read first. One that is draining has no time to wait for its
/// client, and executes everything that was read.
std::size_t SessionCalls::most_executing(const Surroundings& now) const {
  if (now.phase == SessionPhase::draining) { return context_.limits().max_calls; }
  const std::size_t budget = context_.limits().connection_memory();
  const std::size_t used = now.held + held_by_calls();
  if (used >= budget) { return now.awaits_client ? 0 : 1; }
  return std::max<std::size_t>((budget - used) / estimate_.bytes(), 1);
}

bool SessionCalls::holds_back() const {
  if (under_way_->next.empty()) { return false; }
  return under_way_->executing() >= most_executing(owner_.surroundings());
}

/// Expects shorter replies, unless the connection already holds so much that this would not help.
void SessionCalls::take_long() {
  const std::size_t least = held() + (under_way_->executing() + 1) * ReplyEstimate::kLeast;
  if (least <= context_.limits().connection_memory()) { estimate_.calls_take_long(); }
  start_waiting();
}

/// Returns the number of bytes that the connection makes this process hold.
std::size_t SessionCalls::held() const {
  return owner_.surroundings().held + held_by_calls();
}

}  // namespace handoff
