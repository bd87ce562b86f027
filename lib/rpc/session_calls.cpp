// SPDX-License-Identifier: MIT
#include "rpc/session_calls.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>
#include <variant>

#include "wire/frame_writer.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

/// What a call takes besides its texts.
constexpr std::size_t kCallSize = 1024;

/// The method and the id are there twice: in the call, and for its reply.
std::size_t size_of(const Call& call) {
  return kCallSize + 2 * call.method.size() + 2 * call.id.size() + call.params.size();
}

}  // namespace

SessionCalls::SessionCalls(ServerContext& context, Owner& owner, Dialect dialect)
    : context_(context),
      owner_(owner),
      share_(*context.limits().memory),
      estimate_(context.limits().connection_memory(), context.limits().max_frame),
      dialect_(dialect) {}

SessionCalls::UnderWay& SessionCalls::under_way() {
  if (!under_way_) under_way_ = std::make_unique<UnderWay>();
  return *under_way_;
}

void SessionCalls::answer(std::string_view body, Framing framing, std::string& out) {
  const ParsedBody parsed = context_.parser().parse(body, dialect_);
  context_.count_requests(parsed.requests.size());
  if (parsed.is_batch) return answer_batch(parsed.requests, framing, out);
  answer_request(parsed.requests.front(), framing, out);
}

/// A batch gets one answer, as it does when its replies are too long.
void SessionCalls::answer_busy(std::string_view body, Framing framing, std::string& out) {
  constexpr std::string_view kBusy = "busy: the server holds as much as it may (--max-memory)";
  const ParsedBody parsed = context_.parser().parse(body, dialect_);
  context_.count_requests(parsed.requests.size());
  if (parsed.is_batch) return refuse({ErrorCode::busy, kBusy, {}, Dialect::json_rpc}, framing, out);
  const ParsedRequest& first = parsed.requests.front();
  if (const auto* bad = std::get_if<BadRequest>(&first)) return refuse(*bad, framing, out);
  const auto& request = std::get<Request>(first);
  dialect_ = request.dialect;
  if (request.is_notification()) return;
  refuse({ErrorCode::busy, kBusy, request.id, request.dialect}, framing, out);
}

/// An instant answer takes no time, and so no place; but where one thing is done at a time, what is
/// in a batch, or was read because its client has left, keeps the order.
Instant SessionCalls::instant() const {
  const bool is_in_line = context_.limits().synchronous && !context_.places().available();
  return is_in_line ? Instant::waits_in_line : Instant::answers_now;
}

void SessionCalls::answer_request(const ParsedRequest& parsed, Framing framing, std::string& out) {
  if (const auto* bad = std::get_if<BadRequest>(&parsed)) return refuse(*bad, framing, out);
  const auto& request = std::get<Request>(parsed);
  dialect_ = request.dialect;
  const bool is_ordered = request.dialect == Dialect::article && request.id.empty();
  const Dispatched answer = dispatch(*context_.methods(), request, instant());
  if (const auto* call = std::get_if<StartCall>(&answer)) {
    ReplyOrder::Place* place = is_ordered ? &under_way().order.add() : nullptr;
    return start(*call->method, request, {request.dialect, !request.is_notification(), place});
  }
  if (request.is_notification()) return;
  if (is_ordered && under_way_ && !under_way_->order.empty()) {
    ReplyOrder::Place& place = under_way_->order.add();
    FrameWriter writer(place.reply(), framing);
    append_answer(request, answer, place.reply());
    writer.finish();
    return under_way_->order.done(place);
  }
  FrameWriter writer(out, framing);
  append_answer(request, answer, out);
  writer.finish();
}

void SessionCalls::append_answer(const Request& request, const Dispatched& answer,
                                 std::string& out) {
  const std::size_t limit = context_.limits().max_frame;
  if (const auto* reply = std::get_if<InstantReply>(&answer)) {
    context_.count_error(
        append_result(out, {request.dialect, reply->quoted_name, request.id}, reply->json, limit));
  } else {
    context_.count_error(
        append_result(out, {request.dialect, {}, request.id}, std::get<Result>(answer), limit));
  }
}

/// All of them run at a time, as far as they may; the replies go back together.
void SessionCalls::answer_batch(std::span<const ParsedRequest> requests, Framing framing,
                                std::string& out) {
  const auto batch = std::make_shared<BatchReplies>(context_.limits().max_frame);
  std::string reply;
  for (const ParsedRequest& parsed : requests) {
    reply.clear();
    if (const auto* bad = std::get_if<BadRequest>(&parsed)) {
      append_error(reply, bad->dialect, bad->code, bad->message, {}, bad->id);
      context_.count_error(bad->code);
      batch->add(reply);
      continue;
    }
    const auto& request = std::get<Request>(parsed);
    dialect_ = request.dialect;
    const Dispatched answer = dispatch(*context_.methods(), request, instant());
    if (const auto* call = std::get_if<StartCall>(&answer)) {
      batch->call_begins();
      start(*call->method, request, {request.dialect, !request.is_notification(), nullptr, batch});
    } else if (!request.is_notification()) {
      append_answer(request, answer, reply);
      batch->add(reply);
    }
  }
  if (!batch->has_calls()) return context_.count_error(batch->finish(out, framing));
  under_way().held += batch->held();
}

void SessionCalls::refuse(const BadRequest& bad, Framing framing, std::string& out) {
  const bool is_ordered = bad.dialect == Dialect::article && bad.id.empty();
  const bool must_wait = is_ordered && under_way_ && !under_way_->order.empty();
  ReplyOrder::Place* place = must_wait ? &under_way_->order.add() : nullptr;
  std::string& target = must_wait ? place->reply() : out;
  FrameWriter writer(target, framing);
  append_error(target, bad.dialect, bad.code, bad.message, {}, bad.id);
  writer.finish();
  context_.count_error(bad.code);
  if (must_wait) under_way_->order.done(*place);
}

void SessionCalls::start(const Method& method, const Request& request, ReplyPlace place) {
  Call call;
  call.method = request.method;
  call.params = request.params;
  call.id = request.id;
  call.peer = owner_.peer();
  call.deadline = deadline_after(context_.reactor().now(), context_.limits().call_timeout);
  UnderWay& calls = under_way();
  calls.held += place.held = size_of(call);
  const Asking asked =
      calls.asked.insert(calls.asked.end(), {call.id, std::move(place), context_.start_of_call()});
  if (context_.limits().begins_elsewhere) {
    if (!calls.gate) calls.gate = std::make_shared<CallGate>();
    call.gate = calls.gate;
  }
  PendingCall pending{context_.methods(), &method, std::move(call), asked};
  if (owner_.surroundings().client_has_left) calls.client_left.cancel();
  if (calls.next.empty() && may_run_another()) {
    run(std::move(pending));
  } else {
    calls.next.push_back(std::move(pending));
  }
  context_.call_begins();
}

/// That it has to wait is known at once: whether to read on depends on it.
void SessionCalls::run(PendingCall call) {
  const bool has_place = context_.places().try_acquire();
  if (has_place) call.turn = SemaphorePlace(context_.places());
  context_.reactor().spawn(run_pending(*this, std::move(call)));
  ++under_way_->running;
  if (!has_place) ++under_way_->without_place;
}

/// A batch may have more calls than a connection may have running, and long replies may hold up the
/// calls after them.
void SessionCalls::start_next() {
  UnderWay& calls = *under_way_;
  while (!calls.next.empty() && calls.running < context_.limits().max_calls &&
         may_begin(calls.executing())) {
    run(std::move(calls.next.front()));
    calls.next.pop_front();
  }
}

void SessionCalls::drop_waiting() {
  if (!under_way_) return;
  for (const PendingCall& call : under_way_->next) {
    under_way_->held -= call.asked->place.held;
    under_way_->asked.erase(call.asked);
    context_.call_ends();
  }
  under_way_->next.clear();
}

std::optional<SessionCalls::OnlyRequest> SessionCalls::only_request() const {
  if (!under_way_ || under_way_->count() != 1) return std::nullopt;
  const Asked& only = under_way_->asked.front();
  const std::size_t own_place = only.place.ordered != nullptr ? 1 : 0;
  if (only.place.batch || under_way_->order.size() > own_place) return std::nullopt;
  return OnlyRequest{only.id, only.place.dialect, only.place.is_wanted};
}

void SessionCalls::end_for_no_client() {
  if (under_way_) under_way_->client_left.cancel();
}

/// Waits for its turn, then runs. Both take from the call's time.
Task<void> SessionCalls::run_pending(SessionCalls& calls, PendingCall call) {
  const Asking asked = call.asked;
  std::string name;
  Result result;
  bool waits = !call.turn;
  try {
    ServerContext& context = calls.context_;
    name = call.method->quoted_name;
    if (name.empty()) name = quoted_reply_name(call.call.method);
    const bool ends_with_client =
        asked->place.is_wanted && call.method->supervision == Supervision::server;
    Cancellation* const client_left = ends_with_client ? &calls.under_way_->client_left : nullptr;
    std::optional<Semaphore::Outcome> outcome = Semaphore::Outcome::acquired;
    if (waits) {
      const auto waited = co_await race(
          context.reactor(), context.places().acquire(call.call.deadline), kNever, client_left);
      outcome = waited.value;
      if (outcome == Semaphore::Outcome::acquired) call.turn = SemaphorePlace(context.places());
      calls.has_place();
      waits = false;
      if (call.turn && !calls.may_begin(calls.under_way_->executing() - 1)) {
        co_return calls.wait_again(std::move(call));
      }
    }
    if (!outcome) {
      result = result_for_no_client();
    } else if (*outcome == Semaphore::Outcome::acquired) {
      const SemaphorePlace turn = std::move(call.turn);
      result =
          co_await run_method(context.reactor(), *call.method, std::move(call.call), client_left);
    } else if (*outcome == Semaphore::Outcome::full) {
      result = Result::error(ErrorCode::busy, "busy: too many calls wait already");
    } else {
      result = Result::error(ErrorCode::timed_out, "the call did not begin in time");
    }
  } catch (const std::exception& error) {
    calls.owner_.call_failed(error.what());
    if (waits) calls.has_place();
  }
  calls.end(asked, name, result);
}

void SessionCalls::has_place() {
  --under_way_->without_place;
  owner_.call_has_place();
}

/// The call has a place to run, which it gives to the next: its connection holds too much.
void SessionCalls::wait_again(PendingCall call) {
  call.turn = SemaphorePlace();
  under_way_->next.push_back(std::move(call));
  --under_way_->running;
}

void SessionCalls::end(Asking asked, std::string_view name, const Result& result) {
  std::string& out = context_.output();
  out.clear();
  const Asked ended = std::move(*asked);
  under_way_->asked.erase(asked);
  --under_way_->running;
  context_.call_ends();
  context_.count_call(ended.begun);
  under_way_->held -= ended.place.held;
  try {
    encode(ended, name, result, out);
    owner_.replies_ready(out);
    start_waiting();
  } catch (const std::exception& error) {
    owner_.call_failed(error.what());
  }
  count_held(owner_.surroundings().held);
  if (!any()) under_way_.reset();
  owner_.call_ended();
}

/// Puts what can be sent now into `out`.
void SessionCalls::encode(const Asked& asked, std::string_view name, const Result& result,
                          std::string& out) {
  const ReplyPlace& place = asked.place;
  const Surroundings now = owner_.surroundings();
  if (now.phase == SessionPhase::closed) return;
  std::string& body = context_.body();
  body.clear();
  const ErrorCode error =
      append_result(body, {place.dialect, name, asked.id}, result, context_.limits().max_frame);
  if (place.is_wanted) context_.count_error(error);
  estimate_.reply_came(body.size());
  if (place.batch) {
    BatchReplies& batch = *place.batch;
    under_way_->held -= batch.held();
    if (place.is_wanted) batch.add(body);
    if (batch.call_ends()) return context_.count_error(batch.finish(out, now.framing));
    under_way_->held += batch.held();
  } else if (place.is_wanted) {
    std::string& target = place.ordered != nullptr ? place.ordered->reply() : out;
    FrameWriter writer(target, now.framing);
    target.append(body);
    writer.finish();
  }
  if (place.ordered == nullptr) return;
  under_way_->order.done(*place.ordered);
  under_way_->order.leave(out);
}

/// Replies that wait for an earlier one count like calls.
SessionCalls::Room SessionCalls::room_beside_others() {
  const SessionLimits& limits = context_.limits();
  if (under_way_) {
    if (under_way_->without_place > 0 && !limits.reads_on_when_full) return Room::calls;
    if (under_way_->count() >= limits.max_calls) return Room::calls;
    if (under_way_->order.size() >= limits.max_calls) return Room::calls;
    if (held() >= limits.connection_memory()) return Room::calls;
  }
  if (share_.may_start_call()) return Room::enough;
  const bool holds_nothing = !under_way_ && owner_.surroundings().held == 0;
  const bool is_refused = holds_nothing && context_.waiting_for_memory() >= limits.max_waiting;
  return is_refused ? Room::none : Room::memory;
}

/// One that has to wait for a place among all that run is asked again when it has got one.
bool SessionCalls::may_run_another() {
  if (under_way_->running >= context_.limits().max_calls) return false;
  return !context_.places().available() || may_begin(under_way_->executing());
}

/// Beside so many others of the connection.
bool SessionCalls::may_begin(std::size_t others) {
  if (context_.limits().begins_elsewhere) return true;
  if (owner_.surroundings().phase == SessionPhase::draining) return true;
  return others < most_executing() && (others == 0 || share_.may_start_call());
}

/// As many as keep to the connection's budget, if each of them brings as long a reply as is
/// expected. A connection that holds too much gets on with one, unless it is the client who has to
/// get on. One that drains has no time to wait for its client: what was read of it is executed.
std::size_t SessionCalls::most_executing() const {
  const Surroundings now = owner_.surroundings();
  if (now.phase == SessionPhase::draining) return context_.limits().max_calls;
  const std::size_t budget = context_.limits().connection_memory();
  const std::size_t used = held();
  if (used >= budget) return now.awaits_client ? 0 : 1;
  return std::max<std::size_t>((budget - used) / estimate_.bytes(), 1);
}

bool SessionCalls::holds_back() const {
  if (under_way_->executing() < most_executing()) return false;
  if (!context_.limits().begins_elsewhere) return !under_way_->next.empty();
  return under_way_->executing() > most_executing();
}

/// Unless it is what the connection holds already that leaves no room.
void SessionCalls::take_long() {
  const std::size_t least = held() + (under_way_->executing() + 1) * ReplyEstimate::kLeast;
  if (least <= context_.limits().connection_memory()) estimate_.calls_take_long();
  start_waiting();
}

/// Bytes that the connection makes us hold.
std::size_t SessionCalls::held() const {
  return owner_.surroundings().held + held_by_calls();
}

void SessionCalls::move_gate() {
  const std::size_t most = most_executing();
  const std::size_t before = under_way_->gate->allow(most);
  if (before < most && before < under_way_->running) context_.calls_allowed();
}

}  // namespace handoff
