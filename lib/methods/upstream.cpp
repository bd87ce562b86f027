// SPDX-License-Identifier: MIT
#include "methods/upstream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "rpc/client_connection.hpp"
#include "wire/message_writer.hpp"

namespace handoff {
namespace {

/// Returns the length of the request with the longest id that it may get.
std::size_t request_size(const CallView& call) {
  std::string without_params;
  append_request(without_params, Dialect::article, call.method, {},
                 fmt::format_int(std::numeric_limits<std::uint64_t>::max()).str());
  return without_params.size() + call.params.size();
}

/// The bytes around a method and its params in a request, and a few more.
constexpr std::size_t kEnvelopeSize = 64;
/// The most bytes that one byte of a name becomes when it is quoted.
constexpr std::size_t kQuotedByteSize = 6;

// The reactor outlives the tasks that it runs.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::unique_ptr<ClientConnection>> connect_to_server(Reactor& reactor,
                                                          std::shared_ptr<const Address> address,
                                                          UpstreamOptions options) {
  const TimeLimit limit = TimeLimit::after(reactor.now(), options.connect_timeout);
  ConnectOptions how;
  how.session = CommandSession::own;
  std::unique_ptr<ClientConnection> client =
      co_await ClientConnection::connect(reactor, *address, limit, options.max_frame, how);
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
      backoff_(options.first_pause, options.last_pause),
      silence_(options.first_pause, options.last_pause) {}

Upstream::~Upstream() {
  for (const auto& connection : std::exchange(connections_, {})) { connection->abandon(); }
}

TimePoint Upstream::begin(PendingCall& call) {
  const TimePoint deadline = call.view().deadline;
  if (fits(call.view())) {
    begin_on_connection(call, UpstreamAttempt::first);
  } else {
    call.finish(
        ResultView::error(ErrorCode::invalid_request,
                          fmt::format("the request exceeds the limit of {} bytes on its way to {}",
                                      options_.max_frame, name_)));
  }
  return deadline;
}

/// The request is checked here because a frame that is too long would cost other calls their
/// connection. The estimate avoids writing most requests twice.
bool Upstream::fits(const CallView& call) const {
  const std::size_t most =
      kEnvelopeSize + kQuotedByteSize * call.method.size() + call.params.size();
  return most <= options_.max_frame || request_size(call) <= options_.max_frame;
}

void Upstream::begin_on_connection(PendingCall& call, UpstreamAttempt attempt) {
  Refusal refusal;
  if (UpstreamConnection* connection = find_connection(refusal)) {
    return connection->begin(call, attempt);
  }
  call.finish(ResultView::error(refusal.code, refusal.message));
}

/// A call that was not run may be sent on another connection. If it was not even sent, that happens
/// only once, since a server may close every connection.
void Upstream::not_run(PendingCall& call) {
  try {
    if (elsewhere_ && elsewhere_(call)) { return; }
    begin_on_connection(call, UpstreamAttempt::last);
  } catch (const std::exception& error) {
    call.finish(ResultView::error(ErrorCode::internal_error, error.what()));
  }
}

void Upstream::not_connected(PendingCall& call, const std::string& why) {
  try {
    if (elsewhere_ && elsewhere_(call)) { return; }
    call.finish(ResultView::error(ErrorCode::unreachable, why));
  } catch (const std::exception& error) {
    call.finish(ResultView::error(ErrorCode::internal_error, error.what()));
  }
}

bool Upstream::begin_with_attempt(PendingCall& call) {
  const auto found =
      std::find_if(connections_.begin(), connections_.end(), [this](const auto& connection) {
        return connection->is_connecting() && connection->takes_calls() &&
               connection->calls() < options_.max_calls;
      });
  if (found == connections_.end()) { return false; }
  (*found)->begin(call, UpstreamAttempt::last);
  return true;
}

bool Upstream::may_try() const {
  const bool is_connecting = std::any_of(connections_.begin(), connections_.end(),
                                         [](const auto& one) { return one->is_connecting(); });
  const bool is_down = !reachable_.is_ok() || is_silent_;
  return is_down && !is_connecting && reactor_.now() >= next_attempt_;
}

void Upstream::look_again() {
  if (may_try()) { add_connection(); }
}

std::size_t Upstream::calls() const {
  return std::accumulate(
      connections_.begin(), connections_.end(), std::size_t{0},
      [](std::size_t sum, const auto& connection) { return sum + connection->calls(); });
}

UpstreamConnection* Upstream::connection_of(const PendingCall& call) const {
  for (const auto& connection : connections_) {
    if (connection->has(call)) { return connection.get(); }
  }
  return nullptr;
}

void Upstream::time_out(PendingCall& call) {
  connection_of(call)->time_out(call);
}

void Upstream::cancel(PendingCall& call) {
  connection_of(call)->cancel(call);
}

UpstreamConnection* Upstream::find_connection(Refusal& refusal) {
  const bool is_down = !reachable_.is_ok();
  UpstreamConnection* best = nullptr;
  bool connecting = false;
  std::size_t in_use = 0;
  for (const auto& connection : connections_) {
    const bool is_connecting = connection->is_connecting();
    connecting |= is_connecting;
    if (!connection->takes_calls()) { continue; }
    ++in_use;
    // While the server is down, only the call that tries waits for the attempt.
    if (is_down && is_connecting) { continue; }
    const std::size_t most = best == nullptr ? options_.max_calls : best->calls();
    if (connection->calls() < most && connection->unsent() < options_.max_unsent) {
      best = connection.get();
    }
  }
  if (best != nullptr && best->calls() < options_.calls_before_next) { return best; }
  if (is_down && (connecting || reactor_.now() < next_attempt_)) {
    if (best == nullptr) { refusal = {ErrorCode::unreachable, reachable_.why()}; }
    return best;
  }
  if (in_use < options_.max_connections) { return &add_connection(); }
  if (best == nullptr) {
    refusal = {ErrorCode::busy, fmt::format("busy: too many calls wait for {} already", name_)};
  }
  return best;
}

UpstreamConnection& Upstream::add_connection() {
  UpstreamConnection::Owner& owner = *this;
  connections_.push_back(
      std::make_shared<UpstreamConnection>(reactor_, owner, name_, options_.max_calls));
  connections_.back()->start(connect_);
  return *connections_.back();
}

/// After a silence the older connections may take long to recover, or never do, even if one of them
/// has.
void Upstream::connected(const UpstreamConnection& connection) {
  reachable_ = Status::ok();
  backoff_.reset();
  if (!std::exchange(is_silent_, false) || !elsewhere_) { return; }
  for (const auto& other : std::vector(connections_)) {
    if (other.get() != &connection) { other->retire(); }
  }
}

void Upstream::connect_failed(const std::string& why) {
  reachable_ = Status::failure(why);
  next_attempt_ = Clock::now() + backoff_.next();
}

/// The machine may be gone without a word: its connections stay open, and each would cost calls
/// their deadline.
void Upstream::fell_silent() {
  if (std::exchange(is_silent_, true)) { return; }
  next_attempt_ = std::max(next_attempt_, reactor_.now() + silence_.next());
}

void Upstream::closed(const UpstreamConnection& connection) {
  std::erase_if(connections_, [&](const auto& other) { return other.get() == &connection; });
}

}  // namespace handoff
