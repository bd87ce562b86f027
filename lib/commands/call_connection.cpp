// SPDX-License-Identifier: MIT
#include "commands/call_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

namespace handoff {
namespace {

/// How long an address that does not answer holds up the one after it.
constexpr auto kPatience = std::chrono::seconds(3);

/// Returns how long an address is tried, of the time that it and those after it have.
TimeLimit share_of(TimeLimit limit, std::size_t addresses) {
  const TimePoint now = Clock::now();
  const Duration left = limit.when == kNever ? kPatience * addresses : limit.when - now;
  const Duration share = left / static_cast<Duration::rep>(addresses);
  return earlier(limit, TimeLimit::after(now, std::min<Duration>(kPatience, share)));
}

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
  const std::vector<Address>& addresses = options_.address.all;
  std::unique_ptr<ClientConnection> client;
  std::string failures;
  for (std::size_t i = 0; !client; ++i) {
    const Address& address = addresses[(first_ + i) % addresses.size()];
    const bool is_last = i + 1 == addresses.size();
    const TimeLimit patience = is_last ? limit : share_of(limit, addresses.size() - i);
    std::string failure;
    try {
      client = co_await ClientConnection::connect(reactor_, address, patience, options_.max_frame);
    } catch (const Unreachable& error) {
      if (is_last && failures.empty()) { throw; }
      failure = error.what();
    } catch (const TimedOut& error) {
      if (is_last) { throw; }
      failure = error.what();
    }
    if (client) { break; }
    failures += (failures.empty() ? "" : "; ") + failure;
    if (is_last) { throw Unreachable(failures); }
  }
  co_return client;
}

Task<void> CallConnection::connect() {
  client_ = co_await attempts_.run<std::unique_ptr<ClientConnection>>(
      [this](TimeLimit limit) { return dial(limit); });
  log_.detail(fmt::format("connected to {}", options_.address.text));
}

Task<void> CallConnection::reconnect(TimeLimit limit) {
  if (options_.address.has(Address::Kind::inherited)) {
    throw ConnectionLost(
        fmt::format("cannot call {}: the server is shutting down", options_.address.text));
  }
  disconnect();
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
