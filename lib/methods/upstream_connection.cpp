// SPDX-License-Identifier: MIT
#include "methods/upstream_connection.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include "os/error.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

using Phase = UpstreamPhase;

Result result_of(const Reply& reply) {
  if (!reply.is_error()) return Result::success(std::string(reply.result));
  ErrorResult error = parse_error_result(reply.result);
  if (error.code == 0) {
    error.code = static_cast<int>(ErrorCode::internal_error);
    if (error.message.empty()) error.message = "the server gave an error without a code";
  }
  return Result::error(static_cast<ErrorCode>(error.code), std::move(error.message),
                       std::move(error.data));
}

}  // namespace

/// A call, in the frame that waits for it.
struct UpstreamConnection::PendingCall {
  PendingCall(UpstreamConnection& of, std::uint64_t number)
      : connection(of), id(number), changed(of.reactor_) {
    connection.pending_.emplace(id, this);
  }
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;
  ~PendingCall() {
    connection.pending_.erase(id);
    if (connection.pending_.empty()) connection.handle(UpstreamEvent::last_over);
  }

  void settle(Result with) {
    result = std::move(with);
    changed.set();
  }

  UpstreamConnection& connection;
  std::uint64_t id;
  std::uint64_t start = 0;  ///< of its bytes, among all that were queued
  Outcome::Sent sent = Outcome::Sent::maybe_all;
  Event changed;
  std::optional<Result> result;
};

UpstreamConnection::UpstreamConnection(Reactor& reactor, Owner& owner, std::string name)
    : owner_(&owner), reactor_(reactor), name_(std::move(name)), some_unsent_(reactor) {}

void UpstreamConnection::handle(UpstreamEvent event) {
  const Phase next = next_phase(phase_, event);
  if (next != phase_) enter(next);
}

void UpstreamConnection::enter(UpstreamPhase next) {
  phase_ = next;
  if (next != Phase::closed) return;
  settle_all();
  if (client_) client_->interrupt();
  some_unsent_.set();
  if (owner_ != nullptr) owner_->closed(*this);
}

/// Every call that waits gets this, and the connection ends.
void UpstreamConnection::fail(ErrorCode code, const std::string& message) {
  if (phase_ == Phase::closed) return;
  failure_ = Result::error(code, message);
  handle(UpstreamEvent::ended);
}

void UpstreamConnection::settle_all() {
  for (const auto& [id, pending] : pending_) {
    if (pending->result) continue;
    const bool none_sent = client_ && client_->written() <= pending->start;
    if (none_sent) pending->sent = Outcome::Sent::nothing;
    pending->settle(failure_);
  }
}

void UpstreamConnection::abandon() {
  owner_ = nullptr;
  fail(ErrorCode::shutting_down, "shutting down");
}

std::string UpstreamConnection::unasked() const {
  return fmt::format("{} sent something that was no reply to a call", name_);
}

/// Closes the connection when it can't carry this call: the server has closed it, for it was idle,
/// or what has arrived already would be taken for the reply to this call.
void UpstreamConnection::drop_unusable_connection(PendingCall& pending) {
  pending.start = client_->queued_in_all();
  if (pending_.size() == 1 && client_->has_ended()) {
    fail(ErrorCode::worker_died, fmt::format("{} has closed the connection", name_));
  } else if (!ids_come_back_ && order_.empty() && client_->has_unread()) {
    fail(ErrorCode::worker_died, unasked());
  }
}

void UpstreamConnection::send(PendingCall& pending, const Call& call) {
  client_->queue(call.method, call.params, fmt::format_int(pending.id).str());
  if (!ids_come_back_) order_.push_back(pending.id);
  some_unsent_.set();
}

Task<UpstreamConnection::Outcome> UpstreamConnection::call(const Call& call) {
  const std::shared_ptr<UpstreamConnection> self = shared_from_this();
  PendingCall pending(*this, ++last_id_);
  const EventTimeout alarm(reactor_, pending.changed, call.deadline);
  const auto is_settled = [&] { return pending.result || reactor_.now() >= call.deadline; };
  while (!is_settled() && !client_) {
    co_await pending.changed;
    pending.changed.clear();
  }
  const TimePoint sent = Clock::now();
  if (!is_settled()) drop_unusable_connection(pending);
  if (!is_settled()) send(pending, call);
  while (!is_settled()) {
    co_await pending.changed;
    pending.changed.clear();
  }
  Outcome outcome;
  outcome.sent = pending.sent;
  if (pending.result) {
    outcome.result = std::move(*pending.result);
  } else {
    if (!client_ || client_->received_at() < sent) handle(UpstreamEvent::silence);
    outcome.result =
        Result::error(ErrorCode::timed_out, fmt::format("{} did not reply in time", name_));
  }
  co_return outcome;
}

Task<void> UpstreamConnection::connect_and_receive(std::shared_ptr<UpstreamConnection> self,
                                                   ConnectUpstream connect) {
  if (self->phase_ == Phase::closed) co_return;
  try {
    std::unique_ptr<Client> client = co_await connect();
    if (self->phase_ == Phase::closed) co_return;
    self->client_ = std::move(client);
  } catch (const std::exception& error) {
    if (self->phase_ == Phase::closed) co_return;
    self->owner_->connect_failed(error.what());
    self->fail(ErrorCode::unreachable, error.what());
    co_return;
  }
  self->handle(UpstreamEvent::connected);
  self->owner_->connected();
  for (const auto& [id, pending] : self->pending_) pending->changed.set();
  self->reactor_.spawn(send_all(self));
  co_await receive_all(self);
}

Task<void> UpstreamConnection::receive_all(std::shared_ptr<UpstreamConnection> self) {
  try {
    while (self->phase_ != Phase::closed) self->deliver(co_await self->client_->receive(kNever));
  } catch (const std::exception& error) {
    std::string problem = error.what();
    if (self->complaint_) problem += " (it said: " + *self->complaint_ + ")";
    self->fail(ErrorCode::worker_died, problem);
  }
}

/// What the calls of one turn of the loop have queued goes out in one write.
Task<void> UpstreamConnection::send_all(std::shared_ptr<UpstreamConnection> self) {
  try {
    while (self->phase_ != Phase::closed) {
      co_await self->some_unsent_;
      self->some_unsent_.clear();
      co_await self->client_->flush(kNever);
    }
  } catch (const std::exception& error) {
    self->fail(ErrorCode::worker_died, error.what());
  }
}

/// The id of the call that the reply is for; nothing when it is for none. Throws ProtocolError for
/// one without an id when no call waits: it is not known either to what the next ones belong.
std::optional<std::uint64_t> UpstreamConnection::id_of(const Reply& reply) {
  if (!reply.id.empty()) {
    const auto id = parse_number<std::uint64_t>(reply.id);
    if (!id) return std::nullopt;  // none of ours
    ids_come_back_ = true;
    if (owner_ != nullptr) owner_->id_given_back();
    order_.clear();
    return id;
  }
  const bool names_no_call = owner_ != nullptr && owner_->gives_ids_back() && reply.is_error();
  if (ids_come_back_ || names_no_call) {
    complaint_ = parse_error_result(reply.result).message;
    if (complaint_->empty()) complaint_.reset();
    handle(UpstreamEvent::refusal);
    return std::nullopt;
  }
  if (order_.empty()) throw ProtocolError(unasked());
  const std::uint64_t id = order_.front();
  order_.pop_front();
  return id;
}

/// A reply that fits no call is dropped.
void UpstreamConnection::deliver(const Reply& reply) {
  const auto id = id_of(reply);
  if (!id) return;
  const auto found = pending_.find(*id);
  if (found == pending_.end() || found->second->result) return;  // its deadline came first
  found->second->settle(result_of(reply));
}

}  // namespace handoff
