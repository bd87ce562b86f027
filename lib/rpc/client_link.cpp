// SPDX-License-Identifier: MIT
#include "rpc/client_link.hpp"

#include <fmt/format.h>

#include <string>
#include <utility>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>

#include "async/time_limit.hpp"
#include "os/parse_number.hpp"
#include "rpc/reply_error.hpp"

namespace handoff {
namespace {

Result result_of(const Reply& reply) {
  if (!reply.is_error()) { return Result::success(std::string(reply.result)); }
  return error_of_reply(reply);
}

}  // namespace

Task<Result> Client::Link::call(std::shared_ptr<Link> self, std::string method, std::string params,
                                TimePoint deadline) {
  if (const auto problem = json_problem(params)) {
    throw InvalidArgument(fmt::format("params of {}: not JSON: {}", method, *problem));
  }
  const TimeLimit limit(deadline);
  Waiting waiting(self);
  if (deadline > Clock::now()) {
    self->send(waiting, method, params);
    const EventTimeout timeout(self->reactor_, waiting.over, deadline);
    co_await waiting.over;
    if (!waiting.result) { self->throw_if_failed(); }
  }
  if (!waiting.result) {
    throw TimedOut(fmt::format("cannot call {}: {}", self->name_, limit.timed_out()));
  }
  Result result = std::move(*waiting.result);
  co_return result;
}

void Client::Link::close() {
  const ConnectionLost closed(fmt::format("cannot call {}: the connection was closed here", name_));
  fail(std::make_exception_ptr(closed));
}

void Client::Link::send(Waiting& call, std::string_view method, std::string_view params) {
  throw_if_failed();
  const std::uint64_t id = last_id_ + 1;
  connection_->queue(method, params, fmt::format_int(id).str());
  last_id_ = call.id = id;
  unanswered_.emplace(id, &call);
  ++waiting_;
  flush();
  if (!reading_) { reactor_.spawn(read_replies(Running(*this, &Link::reading_))); }
}

void Client::Link::flush() {
  if (writing_) { return; }
  const IoResult result = connection_->try_flush();
  if (result.outcome == IoResult::Outcome::would_block) {
    reactor_.spawn(write_requests(Running(*this, &Link::writing_)));
  } else if (!result.done()) {
    write_failed(result);
  }
}

/// Leaves the failure to the reading task: a server that refuses a connection replies before it
/// closes, and this reply says more than the error of the write.
void Client::Link::write_failed(IoResult result) {
  write_failure_ = result;
  connection_->interrupt();
}

Task<void> Client::Link::write_requests(Running running) {
  Link& link = running.link();
  while (!link.failure_) {
    const IoResult result = link.connection_->try_flush();
    if (result.done()) { co_return; }
    if (result.outcome != IoResult::Outcome::would_block) {
      link.write_failed(result);
      co_return;
    }
    (void)co_await link.connection_->writable();
  }
}

Task<void> Client::Link::read_replies(Running running) {
  Link& link = running.link();
  ClientConnection& connection = *link.connection_;
  try {
    while (link.waiting_ > 0) {
      const IoResult result = connection.try_read();
      if (result.done()) {
        link.deliver_all();
        if (connection.may_be_more()) {
          co_await link.reactor_.yield();
          continue;
        }
      } else if (result.outcome != IoResult::Outcome::would_block) {
        co_await connection.lost(result);
      } else if (link.write_failure_) {
        co_await connection.lost(*link.write_failure_);
      }
      if (link.waiting_ > 0) { (void)co_await connection.readable(); }
    }
  } catch (...) { link.fail(std::current_exception()); }
}

void Client::Link::deliver_all() {
  while (const std::optional<Reply> reply = connection_->try_receive()) {
    Waiting* const call = take(id_of(*reply));
    if (call != nullptr) {
      call->result = result_of(*reply);
      call->over.set();
    }
    if (reply->is_last) { return end_in_order(); }
  }
}

/// The server has sent its last reply: it has not run the calls that still wait.
void Client::Link::end_in_order() {
  for (const auto& [id, call] : unanswered_) {
    if (call == nullptr) { continue; }
    call->result = Result::error(ErrorCode::shutting_down,
                                 "the server is shutting down, and did not run the call");
  }
  const ConnectionLost ended(
      fmt::format("cannot call {}: the server has shut the connection down", name_));
  fail(std::make_exception_ptr(ended));
}

/// Removes the call from the list, and returns it, or null for a call that was given up.
Client::Link::Waiting* Client::Link::take(std::uint64_t id) {
  const auto found = unanswered_.find(id);
  Waiting* const call = found->second;
  unanswered_.erase(found);
  if (call != nullptr) { --waiting_; }
  return call;
}

/// Returns the id of the unanswered call that a reply is for. Throws ProtocolError if there is
/// none, or if it could be one of several.
std::uint64_t Client::Link::id_of(const Reply& reply) const {
  if (reply.id.empty() || reply.id == "null") {
    if (unanswered_.size() == 1) { return unanswered_.begin()->first; }
    const std::string why =
        reply.is_error() ? " (it said: " + parse_error_result(reply.result).message + ")" : "";
    throw ProtocolError(
        fmt::format("cannot call {}: it replied without an id, and {} calls wait for a reply{}",
                    name_, unanswered_.size(), why));
  }
  const auto id = parse_number<std::uint64_t>(reply.id);
  if (id && unanswered_.contains(*id)) { return *id; }
  throw ProtocolError(
      fmt::format("cannot call {}: it replied to the id {}, which no call has", name_, reply.id));
}

/// Removes a call that does not wait any more, but keeps its id, so that a late reply is dropped
/// and not taken for the reply to another call.
void Client::Link::give_up(const Waiting& call) {
  const auto found = unanswered_.find(call.id);
  if (found == unanswered_.end()) { return; }
  found->second = nullptr;
  if (--waiting_ == 0) { connection_->interrupt(); }  // nothing is left to read for
}

void Client::Link::fail(std::exception_ptr error) {
  if (!failure_) { failure_ = std::move(error); }
  for (const auto& [id, call] : unanswered_) {
    if (call != nullptr) { call->over.set(); }
  }
  unanswered_.clear();
  waiting_ = 0;
  connection_->interrupt();  // the task that writes ends too
}

}  // namespace handoff
