// SPDX-License-Identifier: MIT
#include "ping/peer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "async/attempts.hpp"
#include "async/connect.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"
#include "wire/limits.hpp"

namespace handoff {
namespace {

/// Returns the part of the message that follows "cannot call NAME: ".
std::string reason_in(std::string_view text, std::string_view name) {
  const std::string prefix = fmt::format("cannot call {}: ", name);
  return std::string(text.starts_with(prefix) ? text.substr(prefix.size()) : text);
}

}  // namespace

PingPeer::PingPeer(PingRun& run, Address address, PingResult& result)
    : run_(run),
      address_(std::move(address)),
      result_(result),
      attempt_(cannot_connect_to(address_)),
      reason_(no_answer().reason) {}

Task<std::unique_ptr<Client>> PingPeer::connect(TimeLimit limit) {
  if (used_up_) {
    throw CannotConnect(cannot_connect_to(address_),
                        {0, "a descriptor can't be connected again", Outlook::permanent});
  }
  used_up_ = address_.kind == Address::Kind::inherited;
  const TimePoint start = Clock::now();
  limit = earlier(limit, TimeLimit::after(start, run_.options.connect_timeout));
  DialedSocket connection = co_await connect_to(run_.reactor, address_, limit);
  if (!reached_) { note_first(connection.socket.get(), Clock::now() - start); }
  co_return std::make_unique<Client>(run_.reactor, std::move(connection), address_.text,
                                     limits::kMaxFrame);
}

void PingPeer::note_first(int socket, Duration time) {
  reached_ = true;
  result_.connect_time = time;
  const SocketAddress peer = peer_address(socket);
  result_.over_tcp = peer.family() == AF_INET || peer.family() == AF_INET6;
  if (address_.kind != Address::Kind::tcp) { return; }
  result_.peer = peer.text();
  // A name is looked up once: the time of a second lookup would count as latency.
  Address numeric = Address::parse(result_.peer);
  numeric.text = address_.text;
  address_ = std::move(numeric);
}

Task<std::unique_ptr<Client>> PingPeer::try_first_connection(std::string_view ping_params,
                                                             TimeLimit limit) {
  try {
    std::unique_ptr<Client> client = co_await connect(limit);
    if (run_.options.wait_until_up) { co_await await_reply(*client, ping_params); }
    co_return client;
  } catch (const CannotConnect& error) {
    attempt_ = error.attempt();
    reason_ = error.failure().reason;
    throw;
  } catch (const ConnectTimedOut& error) {
    attempt_ = error.attempt();
    reason_ = error.reason();
    throw;
  } catch (const SystemError& error) {
    if (run_.alone && !run_.options.wait_until_up) {
      throw;  // there is nothing else to ping
    }
    attempt_ = cannot_connect_to(address_);
    reason_ = error.what();
    throw CannotConnect(attempt_, {error.error_number(), reason_, Outlook::may_change});
  }
}

/// The kernel accepts connections before the server does, so only a reply proves that the server is
/// up. Any reply will do.
// The caller has the client in its own frame, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> PingPeer::await_reply(Client& client, std::string_view ping_params) {
  attempt_ = fmt::format("no reply from {}", address_.text);
  reason_ = "the connection is accepted, and nothing arrives";
  try {
    client.queue("ping", ping_params);
    co_await client.flush(kNever);
    [[maybe_unused]] const Reply reply = co_await client.receive(kNever);
  } catch (const ConnectionLost& error) {
    throw CannotConnect(attempt_, {0, reason_in(error.what(), address_.text), Outlook::may_change});
  }
}

Task<std::unique_ptr<Client>> PingPeer::reach(std::string_view ping_params) {
  bool waiting = false;
  AttemptOptions options;
  options.mode = run_.options.wait_until_up ? AttemptMode::wait : AttemptMode::retry;
  options.silence = fmt::format("no answer from {} yet", address_.text);
  // The reference is a parameter of the function, which is no coroutine.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  options.on_waiting = [this, &waiting](const std::string& text) {
    if (std::exchange(waiting, true)) {
      run_.observer.on_detail(text);
    } else {
      run_.observer.on_waiting(text);
    }
  };
  Attempts attempts(run_.reactor, std::move(options));
  std::string why_not;
  try {
    co_return co_await attempts.run<std::unique_ptr<Client>>(
        [&](TimeLimit limit) { return try_first_connection(ping_params, limit); });
  } catch (const NoLocalPort&) { throw; } catch (const Unreachable& error) {
    why_not = error.what();
  } catch (const TimedOut& error) { why_not = error.what(); }
  if (run_.alone) { throw Unreachable(why_not); }
  co_return nullptr;  // the probes to this address will say why
}

std::string PingPeer::why_not_within(Duration waited) const {
  return fmt::format("{} within {}: {}", attempt_, duration_text(waited), reason_);
}

}  // namespace handoff
