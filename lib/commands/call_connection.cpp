// SPDX-License-Identifier: MIT
#include "commands/call_connection.hpp"

#include <fmt/format.h>

#include <string>

#include <handoff/wire/errors.hpp>

namespace handoff {
namespace {

AttemptOptions attempt_options(const CallOptions& options, TimeLimit limit, StderrLog& log) {
  AttemptOptions attempt;
  attempt.mode = options.wait ? AttemptMode::wait : AttemptMode::retry;
  attempt.retries = options.retries;
  attempt.limit = limit;
  attempt.attempt_timeout = options.connect_timeout;
  attempt.on_waiting = [&log](const std::string& text) { log.detail(text); };
  attempt.silence = fmt::format("no answer from {} yet", options.address.text);
  return attempt;
}

}  // namespace

CallConnection::CallConnection(Reactor& reactor, const CallOptions& options, StderrLog& log)
    : reactor_(reactor),
      options_(options),
      log_(log),
      limit_(TimeLimit::after(Clock::now(), options.timeout)),
      attempts_(reactor, attempt_options(options, limit_, log)) {}

Task<std::unique_ptr<ClientConnection>> CallConnection::dial(TimeLimit limit) {
  return ClientConnection::connect(reactor_, options_.address, limit, options_.max_frame);
}

Task<void> CallConnection::connect() {
  client_ = co_await attempts_.run<std::unique_ptr<ClientConnection>>(
      [this](TimeLimit limit) { return dial(limit); });
  log_.detail(fmt::format("connected to {}", options_.address.text));
}

Task<void> CallConnection::reconnect(TimeLimit limit) {
  client_.reset();
  Attempts attempts(reactor_, attempt_options(options_, limit, log_));
  client_ = co_await attempts.run<std::unique_ptr<ClientConnection>>(
      [this](TimeLimit until) { return dial(until); });
  log_.detail(fmt::format("connected to {} again", options_.address.text));
}

void CallConnection::queue(std::string_view params, std::uint64_t number) {
  if (!options_.json_rpc) { return client_->queue(options_.method, params); }
  client_->queue(options_.method, params, fmt::format_int(number).str(), Dialect::json_rpc);
}

void CallConnection::refuse_unread(std::string_view why) const {
  if (client_->has_unread()) {
    throw ProtocolError(fmt::format("{} {}", options_.address.text, why));
  }
}

std::uint64_t CallConnection::number_of(const Reply& reply, WaitingCalls calls) const {
  return call_answered_by(reply, dialect(), calls, options_.address.text);
}

}  // namespace handoff
