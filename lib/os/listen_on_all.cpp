// SPDX-License-Identifier: MIT
#include "os/listen_on_all.hpp"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include <handoff/os/error.hpp>

#include "os/socket.hpp"

namespace handoff {
namespace {

/// The most attempts to find a port that is free for every address, when the kernel chooses it for
/// the first.
constexpr int kMaxAttempts = 8;

bool is_missing(const SystemError& error) {
  return error.error_number() == EAFNOSUPPORT || error.error_number() == EADDRNOTAVAIL;
}

/// Calls `listen` with each address and the results before it. Leaves out the addresses that this
/// host does not have, unless there is no other.
template <typename Result, typename Listen>
std::vector<Result> at_each(const std::vector<SocketAddress>& addresses, const Listen& listen) {
  std::vector<Result> results;
  std::exception_ptr missing;
  for (const SocketAddress& wanted : addresses) {
    try {
      results.push_back(listen(wanted, results));
    } catch (const SystemError& error) {
      if (!is_missing(error)) { throw; }
      missing = std::current_exception();
    }
  }
  if (results.empty()) { std::rethrow_exception(missing); }
  return results;
}

std::vector<Listener> try_each(const std::vector<SocketAddress>& addresses,
                               const ListenOptions& options) {
  const auto listen = [&](SocketAddress wanted, const std::vector<Listener>& before) {
    if (wanted.port() == 0 && !before.empty()) {
      wanted.set_port(local_address(before.front().fd()).port());
    }
    return listen_on(Address::parse(wanted.text()), options);
  };
  return at_each<Listener>(addresses, listen);
}

/// Returns the addresses of a host name that has several, or none if `address` is another one.
std::vector<SocketAddress> several_addresses(const Address& address) {
  if (address.kind != Address::Kind::tcp) { return {}; }
  std::vector<SocketAddress> addresses = distinct_addresses(address);
  if (addresses.size() < 2) { addresses.clear(); }
  return addresses;
}

}  // namespace

std::vector<SocketAddress> distinct_addresses(const Address& address) {
  std::vector<SocketAddress> distinct;
  for (SocketAddress& found : address.resolve()) {
    const bool is_known =
        std::any_of(distinct.begin(), distinct.end(),
                    [&](const SocketAddress& known) { return known.text() == found.text(); });
    if (!is_known) { distinct.push_back(found); }
  }
  return distinct;
}

std::vector<Listener> listen_on_each(std::vector<SocketAddress> addresses,
                                     const ListenOptions& options) {
  for (int attempt = 1;; ++attempt) {
    try {
      return try_each(addresses, options);
    } catch (const SystemError& error) {
      const bool is_our_choice = addresses.front().port() == 0 && addresses.size() > 1;
      if (!is_our_choice || error.error_number() != EADDRINUSE || attempt == kMaxAttempts) {
        throw;
      }
    }
  }
}

std::vector<Listener> listen_on_all(const Address& address, const ListenOptions& options) {
  const std::vector<SocketAddress> several = several_addresses(address);
  if (!several.empty()) { return listen_on_each(several, options); }
  std::vector<Listener> listeners;
  listeners.push_back(listen_on(address, options));
  return listeners;
}

std::vector<ListenCheck> check_listen_on_all(const Address& address, const ListenOptions& options) {
  const std::vector<SocketAddress> several = several_addresses(address);
  if (several.empty()) { return {check_listen_on(address, options)}; }
  const auto check = [&](const SocketAddress& wanted, const std::vector<ListenCheck>&) {
    return check_listen_on(Address::parse(wanted.text()), options);
  };
  return at_each<ListenCheck>(several, check);
}

}  // namespace handoff
