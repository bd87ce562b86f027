// SPDX-License-Identifier: MIT
#include "methods/upstream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "rpc/client.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

/// With the longest id that it may be sent with.
std::size_t request_size(const Call& call) {
  std::string without_params;
  append_request(without_params, Dialect::article, call.method, {},
                 fmt::format_int(std::numeric_limits<std::uint64_t>::max()).str());
  return without_params.size() + call.params.size();
}

Task<std::unique_ptr<Client>> connect_to_server(Reactor& reactor,
                                                std::shared_ptr<const Address> address,
                                                UpstreamOptions options) {
  const TimeLimit limit = TimeLimit::after(reactor.now(), options.connect_timeout);
  ConnectOptions how;
  how.session = CommandSession::own;
  std::unique_ptr<Client> client =
      co_await Client::connect(reactor, *address, limit, options.max_frame, how);
  co_return client;
}

ConnectUpstream connector(Reactor& reactor, Address address, UpstreamOptions options) {
  return [&reactor, address = std::make_shared<const Address>(std::move(address)), options] {
    return connect_to_server(reactor, address, options);
  };
}

}  // namespace

Upstream::Upstream(Reactor& reactor, Address address, UpstreamOptions options)
    : Upstream(reactor, address.text, connector(reactor, address, options), options) {}

Upstream::Upstream(Reactor& reactor, std::string name, ConnectUpstream connect,
                   UpstreamOptions options)
    : reactor_(reactor),
      name_(std::move(name)),
      connect_(std::move(connect)),
      options_(options),
      backoff_(options.first_pause, options.last_pause) {}

Upstream::~Upstream() {
  for (const auto& connection : std::exchange(connections_, {})) connection->abandon();
}

Task<Result> Upstream::call(Call call) {
  // The id takes a few bytes more, and a frame that is too long would cost others their calls.
  if (request_size(call) > options_.max_frame) {
    co_return Result::error(
        ErrorCode::invalid_request,
        fmt::format("the request exceeds the limit of {} bytes on its way to {}",
                    options_.max_frame, name_));
  }
  UpstreamConnection::Outcome outcome;
  outcome.sent = UpstreamConnection::Outcome::Sent::nothing;
  // What was not sent may be sent: once more, for a server that closes every connection.
  for (int i = 0; i < 2 && outcome.sent == UpstreamConnection::Outcome::Sent::nothing; ++i) {
    const std::shared_ptr<UpstreamConnection> connection = take_connection(outcome.result);
    if (!connection) break;
    outcome = co_await connection->call(call);
  }
  co_return std::move(outcome.result);
}

bool Upstream::has_room(const UpstreamConnection& connection) const {
  return connection.takes_calls() && connection.calls() < options_.max_calls &&
         connection.unsent() < options_.max_unsent;
}

std::shared_ptr<UpstreamConnection> Upstream::take_connection(Result& problem) {
  const bool is_down = !reachable_.is_ok();
  std::shared_ptr<UpstreamConnection> best;
  bool connecting = false;
  for (const auto& connection : connections_) {
    connecting = connecting || connection->is_connecting();
    // While it is down, only the call that tries waits for the attempt.
    if (!has_room(*connection) || (is_down && connection->is_connecting())) continue;
    if (!best || connection->calls() < best->calls()) best = connection;
  }
  if (best && best->calls() < options_.calls_before_next) return best;
  if (is_down && (connecting || reactor_.now() < next_attempt_)) {
    if (!best) problem = Result::error(ErrorCode::unreachable, reachable_.why());
    return best;
  }
  const auto in_use =
      std::count_if(connections_.begin(), connections_.end(),
                    [](const auto& connection) { return connection->takes_calls(); });
  if (static_cast<std::size_t>(in_use) < options_.max_connections) {
    UpstreamConnection::Owner& owner = *this;
    auto connection = std::make_shared<UpstreamConnection>(reactor_, owner, name_);
    connections_.push_back(connection);
    connection->start(connect_);
    return connection;
  }
  if (!best) {
    problem = Result::error(ErrorCode::busy,
                            fmt::format("busy: too many calls wait for {} already", name_));
  }
  return best;
}

void Upstream::connected() {
  reachable_ = Status::ok();
  backoff_.reset();
}

void Upstream::connect_failed(const std::string& why) {
  reachable_ = Status::failure(why);
  next_attempt_ = Clock::now() + backoff_.next();
}

void Upstream::closed(const UpstreamConnection& connection) {
  std::erase_if(connections_, [&](const auto& other) { return other.get() == &connection; });
}

}  // namespace handoff
