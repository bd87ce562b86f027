// SPDX-License-Identifier: MIT
#include "methods/upstream_connection.hpp"

#include <fmt/format.h>

#include <exception>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/parse_number.hpp"
#include "rpc/reply_error.hpp"

namespace handoff {
namespace {

using Phase = UpstreamPhase;

}  // namespace

UpstreamConnection::UpstreamConnection(Reactor& reactor, Owner& owner, std::string name,
                                       std::size_t max_calls)
    : owner_(&owner),
      reactor_(reactor),
      name_(std::move(name)),
      calls_(max_calls),
      some_unsent_(reactor) {}

void UpstreamConnection::handle(UpstreamEvent event) {
  const Phase next = next_phase(phase_, event);
  if (next != phase_) { enter(next); }
}

void UpstreamConnection::enter(UpstreamPhase next) {
  phase_ = next;
  if (next != Phase::closed) { return; }
  const std::shared_ptr<UpstreamConnection> self = shared_from_this();
  if (client_) { client_->interrupt(); }
  some_unsent_.set();
  finish_all();
  if (owner_ != nullptr) { owner_->closed(*this); }
}

/// Finishes every call that waits with this error, and ends the connection.
void UpstreamConnection::fail(ErrorCode code, std::string message) {
  if (phase_ == Phase::closed) { return; }
  failure_ = code;
  failure_message_ = std::move(message);
  handle(UpstreamEvent::ended);
}

void UpstreamConnection::finish_all() {
  while (const Waiting* waiting = calls_.first()) {
    const bool none_sent = client_ && client_->written() <= waiting->start;
    const bool may_begin_again = failure_ == ErrorCode::shutting_down ||
                                 (none_sent && waiting->attempt == UpstreamAttempt::first);
    PendingCall& call = take(*waiting);
    if (owner_ != nullptr && !client_ && failure_ == ErrorCode::unreachable) {
      owner_->not_connected(call, failure_message_);
    } else if (owner_ != nullptr && may_begin_again) {
      owner_->not_run(call);
    } else {
      call.finish(ResultView::error(failure_, failure_message_));
    }
  }
}

void UpstreamConnection::abandon() {
  owner_ = nullptr;
  fail(ErrorCode::worker_died, "shutting down");
}

std::string UpstreamConnection::unasked() const {
  return fmt::format("{} sent something that was no reply to a call", name_);
}

std::string UpstreamConnection::too_late() const {
  return fmt::format("{} did not reply in time", name_);
}

const UpstreamCalls::Waiting* UpstreamConnection::find(const PendingCall& call) {
  const Waiting* waiting = calls_.find(call.ticket());
  return waiting != nullptr && waiting->call == &call ? waiting : nullptr;
}

/// Removes the call from those that wait.
PendingCall& UpstreamConnection::take(const Waiting& waiting) {
  PendingCall& call = *waiting.call;
  calls_.remove(waiting);
  if (calls_.empty()) { handle(UpstreamEvent::last_over); }
  return call;
}

void UpstreamConnection::retire() {
  handle(UpstreamEvent::silence);
  if (calls_.empty()) { handle(UpstreamEvent::last_over); }
}

void UpstreamConnection::cancel(PendingCall& call) {
  take(*find(call));
}

void UpstreamConnection::begin(PendingCall& call, UpstreamAttempt attempt) {
  if (reactor_.now() >= call.view().deadline) {
    return call.finish(ResultView::error(ErrorCode::timed_out, too_late()));
  }
  Waiting& waiting = calls_.add(call, attempt);
  call.set_ticket(waiting.id);
  if (client_) { send_or_finish(waiting); }
}

void UpstreamConnection::send_or_finish(Waiting& waiting) {
  const std::uint64_t id = waiting.id;
  try {
    send(waiting);
  } catch (const std::exception& error) {
    std::erase(order_, id);
    const Waiting* unsent = calls_.find(id);
    if (unsent == nullptr) { return; }
    take(*unsent).finish(ResultView::error(ErrorCode::internal_error, error.what()));
  }
}

void UpstreamConnection::send(Waiting& waiting) {
  waiting.start = client_->queued_in_all();
  waiting.reads = reads_;
  if (is_unusable()) { return; }
  const CallView& call = waiting.call->view();
  const fmt::format_int id(waiting.id);
  if (!ids_come_back_) { order_.push_back(waiting.id); }
  client_->queue(call.method, call.params, {id.data(), id.size()});
  some_unsent_.set();
}

/// Returns whether the connection cannot carry a new call, and closes it in that case: the server
/// has closed it while it was idle, or something has arrived that would be taken for the reply to
/// this call.
bool UpstreamConnection::is_unusable() {
  if (calls_.size() == 1 && client_->has_ended()) {
    fail(ErrorCode::worker_died, fmt::format("{} has closed the connection", name_));
  } else if (!ids_come_back_ && order_.empty() && client_->has_unread()) {
    fail(ErrorCode::worker_died, unasked());
  }
  return phase_ == Phase::closed;
}

void UpstreamConnection::time_out(PendingCall& call) {
  const std::string message = too_late();
  const Waiting& waiting = *find(call);
  if (!client_ || waiting.reads == reads_) {
    if (takes_calls()) { owner_->fell_silent(); }
    handle(UpstreamEvent::silence);
  }
  take(waiting);
  call.finish(ResultView::error(ErrorCode::timed_out, message));
}

Task<void> UpstreamConnection::connect_and_receive(std::shared_ptr<UpstreamConnection> self,
                                                   ConnectUpstream connect) {
  if (self->phase_ == Phase::closed) { co_return; }
  std::unique_ptr<ClientConnection> client;
  try {
    client = co_await connect();
  } catch (const std::exception& error) {
    if (self->phase_ == Phase::closed) { co_return; }
    self->owner_->connect_failed(error.what());
    self->fail(ErrorCode::unreachable, error.what());
  }
  if (self->phase_ == Phase::closed) { co_return; }
  self->use(std::move(client));
  self->reactor_.spawn(send_all(self));
  co_await receive_all(self);
}

/// Sends the calls that have waited for the connection.
void UpstreamConnection::use(std::unique_ptr<ClientConnection> client) {
  client_ = std::move(client);
  handle(UpstreamEvent::connected);
  owner_->connected(*this);
  for (const std::uint64_t id : calls_.ids()) {
    if (Waiting* waiting = calls_.find(id)) { send_or_finish(*waiting); }
  }
}

Task<void> UpstreamConnection::receive_all(std::shared_ptr<UpstreamConnection> self) {
  try {
    ClientConnection& client = *self->client_;
    while (self->phase_ != Phase::closed) {
      const IoResult result = client.try_read();
      if (result.done()) {
        ++self->reads_;
        if (self->owner_ != nullptr) { self->owner_->answered(); }
        self->deliver_all();
        if (client.may_be_more()) {
          co_await self->reactor_.yield();
          continue;
        }
      } else if (result.outcome != IoResult::Outcome::would_block) {
        co_await client.lost(result);
      }
      if (self->phase_ != Phase::closed) { (void)co_await client.readable(); }
    }
  } catch (const std::exception& error) {
    std::string problem = error.what();
    if (self->complaint_) { problem += " (it said: " + *self->complaint_ + ")"; }
    self->fail(ErrorCode::worker_died, problem);
  }
}

/// Writes the requests of all calls of one turn of the loop with one write.
Task<void> UpstreamConnection::send_all(std::shared_ptr<UpstreamConnection> self) {
  try {
    ClientConnection& client = *self->client_;
    while (self->phase_ != Phase::closed) {
      const IoResult result = client.try_flush();
      if (result.outcome == IoResult::Outcome::broken) { co_await client.lost(result); }
      if (result.outcome == IoResult::Outcome::would_block) {
        (void)co_await client.writable();
      } else {
        self->some_unsent_.clear();
        co_await self->some_unsent_;
      }
    }
  } catch (const std::exception& error) { self->fail(ErrorCode::worker_died, error.what()); }
}

/// Returns the id of the call that the reply is for, or nothing if it is for none. Throws
/// ProtocolError for a reply without an id when no call waits: the replies to the next calls could
/// not be told apart either.
std::optional<std::uint64_t> UpstreamConnection::id_of(const Reply& reply) {
  if (!reply.id.empty()) {
    const auto id = parse_number<std::uint64_t>(reply.id);
    if (!id) {
      return std::nullopt;  // this connection has sent no such id
    }
    if (!ids_come_back_) {
      ids_come_back_ = true;
      order_.clear();
      if (owner_ != nullptr) { owner_->id_given_back(); }
    }
    return id;
  }
  const bool names_no_call = owner_ != nullptr && owner_->gives_ids_back() && reply.is_error();
  if (ids_come_back_ || names_no_call) {
    complaint_ = parse_error_result(reply.result).message;
    if (complaint_->empty()) { complaint_.reset(); }
    handle(UpstreamEvent::refusal);
    return std::nullopt;
  }
  if (order_.empty()) { throw ProtocolError(unasked()); }
  const std::uint64_t id = order_.front();
  order_.pop_front();
  return id;
}

/// Finishes the call that a reply is for. A reply that fits no call is dropped: the deadline of its
/// call passed first, or there never was such a call.
void UpstreamConnection::deliver(const Reply& reply) {
  const auto id = id_of(reply);
  if (!id) { return; }
  const Waiting* waiting = calls_.find(*id);
  if (waiting != nullptr) { finish(*waiting, reply); }
}

/// Every call that still waits goes back to the owner.
void UpstreamConnection::shuts_down() {
  if (owner_ != nullptr) { owner_->shuts_down(); }
  fail(ErrorCode::shutting_down, name_ + " is shutting down");
}

/// A server that shuts down refuses no call that is the first on its connection: there the refusal
/// is the answer, and so no call is refused for ever.
void UpstreamConnection::finish(const Waiting& waiting, const Reply& reply) {
  if (!reply.is_error()) { return take(waiting).finish(ResultView::success(reply.result)); }
  const Result error = error_of_reply(reply);
  const bool is_refused =
      error.code == ErrorCode::shutting_down && owner_ != nullptr && waiting.start > 0;
  if (!is_refused) { return take(waiting).finish(error); }
  owner_->shuts_down();
  handle(UpstreamEvent::refusal);
  PendingCall& call = take(waiting);
  owner_->not_run(call);
}

void UpstreamConnection::deliver_all() {
  while (phase_ != Phase::closed) {
    const std::optional<Reply> reply = client_->try_receive();
    if (!reply) { return; }
    // Finishing the call may reuse the memory of the reply.
    const bool is_last = reply->is_last;
    deliver(*reply);
    if (is_last) { shuts_down(); }
  }
}

}  // namespace handoff
