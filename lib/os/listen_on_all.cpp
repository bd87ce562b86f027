// SPDX-License-Identifier: MIT
#include "os/listen_on_all.hpp"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// The most attempts to find a port that is free for every address, when the kernel chooses it for
/// the first.
constexpr int kMaxAttempts = 8;

bool is_missing(const SystemError& error) {
  return error.error_number() == EAFNOSUPPORT || error.error_number() == EADDRNOTAVAIL;
}

std::vector<Listener> try_each(const std::vector<SocketAddress>& addresses,
                               const ListenOptions& options) {
  std::vector<Listener> listeners;
  std::exception_ptr missing;
  for (SocketAddress wanted : addresses) {
    if (wanted.port() == 0 && !listeners.empty()) {
      wanted.set_port(local_address(listeners.front().fd()).port());
    }
    try {
      listeners.push_back(listen_on(Address::parse(wanted.text()), options));
    } catch (const SystemError& error) {
      if (!is_missing(error)) { throw; }
      missing = std::current_exception();
    }
  }
  if (listeners.empty()) { std::rethrow_exception(missing); }
  return listeners;
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
  if (address.kind == Address::Kind::tcp) {
    const std::vector<SocketAddress> addresses = distinct_addresses(address);
    if (addresses.size() > 1) { return listen_on_each(addresses, options); }
  }
  std::vector<Listener> listeners;
  listeners.push_back(listen_on(address, options));
  return listeners;
}

}  // namespace handoff
