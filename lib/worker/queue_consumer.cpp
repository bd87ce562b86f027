// SPDX-License-Identifier: MIT
#include "worker/queue_consumer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include <handoff/wire/errors.hpp>
#include <handoff/wire/request.hpp>

#include "os/sealed_memory.hpp"
#include "rpc/call_log.hpp"
#include "rpc/dispatch.hpp"

namespace handoff {
namespace {

/// The most requests that are taken before the rest of the process has a turn.
constexpr int kRequestsPerTurn = 256;

TimePoint deadline_of(const QueueRequest& request) {
  return TimePoint(std::chrono::nanoseconds(request.deadline));
}

std::size_t size_of(const QueueRequest& request) {
  return request.method.size() + request.params.size() + request.id.size() + request.peer.size();
}

/// Returns the duration in the form of a reply.
std::uint32_t told(Duration duration) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(duration / std::chrono::nanoseconds(1),
                                                             1, QueueReply::kLongestDuration));
}

std::size_t size_of(const Result& result) {
  return result.json.size() + result.message.size();
}

}  // namespace

QueueConsumer::QueueConsumer(ServerContext& context, Fd masters, Fd ours, std::size_t max_calls,
                             Owner owner)
    : context_(context),
      owner_(std::move(owner)),
      rings_(Mapping::writable(ours.get()), Mapping::read_only(masters.get())),
      max_calls_(max_calls),
      share_(*context.limits().memory) {
  rings_.heed_revocations();
  context_.reactor().add(*this);
}

QueueConsumer::~QueueConsumer() {
  context_.reactor().remove(*this);
}

bool QueueConsumer::poll() {
  bool any = send_unsent();
  any = take_requests() || any;
  if (any && rings_.other_is_starved() && rings_.must_wake()) { owner_.wake_master(); }
  if (rings_.broken()) {
    throw ProtocolError("cannot read the queue: the master broke its memory");
  }
  if (unpublished_) { publish(); }
  share_.set(held_);
  if (context_.draining() && idle()) { owner_.became_idle(); }
  return any;
}

/// The master need not wake a worker that may take nothing: the end of a call does.
void QueueConsumer::prepare_to_block() {
  if (may_take() || !unsent_.empty()) { rings_.arm(); }
}

void QueueConsumer::stop_blocking() {
  rings_.disarm();
}

/// What this process holds grows no more once it is too much; calls that end make room.
bool QueueConsumer::may_take() const {
  if (running_ >= max_calls_) { return false; }
  return context_.limits().memory->has_room() || (running_ == 0 && unsent_.empty());
}

/// The duration of instant methods is measured over the whole batch, since a clock for each would
/// cost more.
bool QueueConsumer::take_requests() {
  if (!may_take() || !rings_.has_record()) { return false; }
  const TimePoint start = Clock::now();
  int count = 0;
  for (; count < kRequestsPerTurn && may_take(); ++count) {
    const auto record = rings_.read(record_);
    if (!record) { break; }
    const auto request = decode_request(*record);
    if (!request) {
      throw ProtocolError("cannot read the queue: the master wrote no valid request");
    }
    take(*request);
  }
  if (count > 0) { instant_duration_ = told((Clock::now() - start) / count); }
  return true;
}

/// A request that this worker has released, and that the master has not taken back, counts as
/// begun: if the worker dies now, no other one runs it.
void QueueConsumer::take(const QueueRequest& request) {
  if (!rings_.release_to_begin()) { return put({request.ticket, {}, QueueReply::kNotBegun}); }
  context_.count_requests(1);
  const Method* method = context_.find_and_count(request.method);
  if (deadline_of(request) > context_.reactor().now()) { return begin(request, method); }
  Result late = Result::error(ErrorCode::timed_out, "the method was not begun in time");
  log_answer(request, reply(request.ticket, ServerContext::slot_of(method), std::move(late)));
}

void QueueConsumer::begin(const QueueRequest& request, const Method* method) {
  const ledger::MethodSlot slot = ServerContext::slot_of(method);
  Dispatched answer =
      dispatch(method, {request.method, request.params, request.id}, Instant::answers_now);
  if (auto* error = std::get_if<Result>(&answer)) {
    return log_answer(request, reply(request.ticket, slot, std::move(*error)));
  }
  if (const auto* now = std::get_if<InstantReply>(&answer)) {
    return log_answer(request, reply_now(request.ticket, slot, now->json));
  }
  Call call;
  call.method = request.method;
  call.params = request.params;
  call.id = request.id;
  call.peer = request.peer;
  call.deadline = std::min(deadline_of(request), deadline_after(context_.reactor().now(),
                                                                context_.limits().call_timeout));
  const Running running{request.ticket, size_of(request), Clock::now(), slot, names_of(request)};
  ++running_;
  context_.call_begins();
  held_ += running.size;
  const auto done = [self = shared_from_this(), running](Result result) {
    self->ended(running, std::move(result));
  };
  if (owner_.run_elsewhere(call, done)) { return; }
  context_.reactor().spawn(run(shared_from_this(), context_.methods(), std::move(call), running));
}

/// Writes a result that is valid only now, without a copy if there is room.
ErrorCode QueueConsumer::reply_now(std::uint64_t ticket, ledger::MethodSlot slot,
                                   std::string_view json) {
  unpublished_ = true;
  if (unsent_.empty() && write_reply(rings_, {ticket, 0, json, {}, instant_duration_})) {
    return ErrorCode{};
  }
  return reply(ticket, slot, Result::success(std::string(json)), instant_duration_);
}

/// The table is shared, so that a reload does not destroy the methods of a call that runs.
Task<void> QueueConsumer::run(std::shared_ptr<QueueConsumer> self,
                              std::shared_ptr<const MethodTable> table, Call call,
                              Running running) {
  Result result = co_await run_call(self->context_.reactor(), *table, std::move(call));
  self->ended(running, std::move(result));
}

void QueueConsumer::ended(const Running& running, Result result) {
  --running_;
  context_.call_ends();
  context_.count_call(running.begun, running.slot);
  held_ -= running.size;
  const ErrorCode code =
      reply(running.ticket, running.slot, std::move(result), told(Clock::now() - running.begun));
  if (running.names != nullptr) {
    context_.call_log()->ended(running.names->method, running.names->peer, code, running.begun);
  }
}

/// Logs a request that was answered at once.
void QueueConsumer::log_answer(const QueueRequest& request, ErrorCode code) {
  if (const CallLog* log = context_.call_log()) {
    log->ended(request.method, request.peer, code, context_.take_start_of_instant());
  }
}

std::shared_ptr<const QueueConsumer::Names> QueueConsumer::names_of(
    const QueueRequest& request) const {
  if (context_.call_log() == nullptr) { return nullptr; }
  return std::make_shared<const Names>(
      Names{std::string(request.method), std::string(request.peer)});
}

ErrorCode QueueConsumer::reply(std::uint64_t ticket, ledger::MethodSlot slot, Result result,
                               std::uint32_t duration) {
  if (size_of(result) + kQueueRecordSize > rings_.longest()) {
    result = Result::error(ErrorCode::handler_failed,
                           fmt::format("the reply exceeds the {} bytes that the master takes",
                                       rings_.longest() - kQueueRecordSize));
  }
  const ErrorCode code = result.code;
  context_.count_error(code, slot);
  put({ticket, std::move(result), duration});
  return code;
}

void QueueConsumer::put(Reply reply) {
  unpublished_ = true;
  if (unsent_.empty() && write(reply)) { return; }
  held_ += size_of(reply.result);
  unsent_.push_back(std::move(reply));
  rings_.set_starved();
}

bool QueueConsumer::write(const Reply& reply) {
  const Result& result = reply.result;
  return write_reply(rings_, {reply.ticket, static_cast<std::int32_t>(result.code), result.json,
                              result.message, reply.duration});
}

/// Returns whether there was room for at least one.
bool QueueConsumer::send_unsent() {
  bool any = false;
  while (!unsent_.empty() && write(unsent_.front())) {
    held_ -= size_of(unsent_.front().result);
    unsent_.pop_front();
    any = unpublished_ = true;
    if (unsent_.empty()) { rings_.clear_starved(); }
  }
  return any;
}

void QueueConsumer::publish() {
  unpublished_ = false;
  rings_.publish();
  if (rings_.must_wake()) { owner_.wake_master(); }
}

}  // namespace handoff
