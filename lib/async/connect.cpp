// SPDX-License-Identifier: MIT
#include "async/connect.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <utility>
#include <vector>

#include "async/address_race.hpp"
#include "os/environment.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"

namespace handoff {
namespace {

/// The pause between two attempts while a backlog is full: no event announces a place in it.
constexpr auto kBacklogPause = std::chrono::milliseconds(10);

DialedSocket run_command(const Address& address, CommandSession session) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  SpawnOptions options;
  options.argv = {"sh", "-c", address.name};
  options.environment = inherited_environment();
  options.descriptors = {{theirs.get(), 0}, {theirs.get(), 1}, {STDERR_FILENO, 2}};
  options.new_group = session == CommandSession::own;
  options.parent_death_signal = SIGTERM;
  return {std::move(ours), spawn(options)};
}

/// A connect to a Unix socket succeeds or fails at once, unless the backlog is full: then a
/// non-blocking one gets EAGAIN, and not EINPROGRESS (connect(2)).
// The reactor outlives the tasks that it runs.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<ConnectOutcome> connect_locally(Reactor& reactor, SocketAddress target, int type,
                                     TimePoint deadline) {
  ConnectOutcome outcome;
  Fd socket = try_make_socket(target, type, outcome.failure);
  while (socket.valid()) {
    if (retry([&] { return connect(socket.get(), target.data(), target.size()); }) == 0) {
      outcome.socket = std::move(socket);
      break;
    }
    const int error = errno;
    outcome.failure = connect_failure(error, target);
    outcome.timed_out = error == EAGAIN && Clock::now() >= deadline;
    if (error != EAGAIN || outcome.timed_out) { break; }
    co_await reactor.sleep_until(std::min<TimePoint>(deadline, Clock::now() + kBacklogPause));
  }
  co_return outcome;
}

/// Returns the socket addresses that `address` stands for, at least one. `address` and `options`
/// must outlive the task.
// connect_to keeps all three, and awaits the task.
// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::vector<SocketAddress>> find_targets(Reactor& reactor, const Address& address,
                                              TimeLimit limit, const ConnectOptions& options) {
  // NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
  if (const auto known = address.without_lookup()) { co_return std::vector<SocketAddress>{*known}; }
  std::optional<HostLookup> found =
      co_await options.resolver.look_up(reactor, address.host, limit.when);
  if (!found) {
    throw ConnectTimedOut(cannot_connect_to(address),
                          fmt::format("the lookup of {} has no answer", address.host), limit);
  }
  if (found->failure) {
    ConnectFailure failure = *std::move(found->failure);
    failure.reason = fmt::format("the lookup of {} failed: {}", address.host, failure.reason);
    throw CannotConnect(cannot_connect_to(address), std::move(failure));
  }
  for (SocketAddress& target : found->addresses) { target.set_port(address.port); }
  co_return std::move(found->addresses);
}

}  // namespace

CannotConnect::CannotConnect(std::string_view attempt, ConnectFailure failure,
                             const TimeLimit& passed)
    : Unreachable(fmt::format("{}{}: {}", attempt, passed.text(), failure.reason)),
      attempt_(attempt),
      failure_(std::move(failure)) {}

NoLocalPort::NoLocalPort(const Address& address)
    : CannotConnect(cannot_connect_to(address),
                    {EADDRNOTAVAIL,
                     "no local port is free (keep connections instead of making one for each "
                     "call, or widen net.ipv4.ip_local_port_range)",
                     Outlook::may_change}) {}

ConnectTimedOut::ConnectTimedOut(std::string_view attempt, std::string reason,
                                 const TimeLimit& limit)
    : TimedOut(fmt::format("{}{}: {}", attempt, limit.text(), reason)),
      attempt_(attempt),
      reason_(std::move(reason)) {}

std::string cannot_connect_to(const Address& address) {
  return fmt::format("cannot connect to {}", address.text);
}

// The caller keeps the reactor and the address until the task has ended, as the header says.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<DialedSocket> connect_to(Reactor& reactor, const Address& address, TimeLimit limit,
                              ConnectOptions options) {
  if (address.kind == Address::Kind::inherited) { co_return DialedSocket{Fd(address.number), {}}; }
  if (address.kind == Address::Kind::exec) { co_return run_command(address, options.session); }
  std::vector<SocketAddress> targets = co_await find_targets(reactor, address, limit, options);
  const SocketAddress first = targets.front();
  ConnectOutcome outcome;
  if (address.kind == Address::Kind::tcp) {
    outcome = co_await race_addresses(reactor, std::move(targets), options.type, limit.when,
                                      options.attempt_delay);
  } else {
    outcome = co_await connect_locally(reactor, first, options.type, limit.when);
  }
  if (outcome.socket.valid()) { co_return DialedSocket{std::move(outcome.socket), {}}; }
  if (outcome.timed_out) {
    throw ConnectTimedOut(cannot_connect_to(address), outcome.failure.reason, limit);
  }
  if (outcome.failure.error_number == EADDRNOTAVAIL && is_out_of_local_ports(first)) {
    throw NoLocalPort(address);
  }
  throw CannotConnect(cannot_connect_to(address), outcome.failure);
}

}  // namespace handoff
