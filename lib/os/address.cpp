// SPDX-License-Identifier: MIT
#include "os/address.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <net/if.h>

#include <optional>

#include "os/error.hpp"
#include "os/host_lookup.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

std::optional<std::string_view> after_prefix(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) { return std::nullopt; }
  return text.substr(prefix.size());
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw InvalidArgument(fmt::format("{}: {}", text.empty() ? "''" : text, why));
}

/// Returns what to write instead of a word without a port.
std::string correction_of(std::string_view word) {
  if (word.empty()) { return "write host:port, :port, /path, @name or fd:N"; }
  if (word.ends_with(']')) { return fmt::format("no port: write {}:PORT", word); }
  if (word.find('/') != std::string_view::npos) {
    return fmt::format("write ./{} for a socket's file", word);
  }
  if (parse_number<std::uint16_t>(word)) {
    return fmt::format("write :{0} for the port, or ./{0} for a socket's file", word);
  }
  return fmt::format("no port: write {0}:PORT, or ./{0} for a socket's file", word);
}

/// A person may paste a URL from a browser, "http://host/path": the error says what to write.
void refuse_url(std::string_view text) {
  const auto scheme = text.find("://");
  if (scheme == std::string_view::npos) { return; }
  std::string_view host = text.substr(scheme + 3);
  host = host.substr(0, host.find('/'));
  const bool has_port = host.rfind(':') != std::string_view::npos && !host.ends_with(']');
  refuse(text, fmt::format("write {}{}, without {}", host, has_port ? "" : ":PORT",
                           text.substr(0, scheme + 3)));
}

Address parse_tcp(std::string_view text) {
  Address address;
  refuse_url(text);
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || text.ends_with(']')) { refuse(text, correction_of(text)); }
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    refuse(text, "an IPv6 address is written in brackets, [::1]:port");
  }
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1));
  if (!port) { refuse(text, "the port is a number from 0 to 65535"); }
  address.host = host.empty() ? "127.0.0.1" : std::string(host);
  address.port = *port;
  address.text = address.host.find(':') == std::string::npos
                     ? fmt::format("{}:{}", address.host, *port)
                     : fmt::format("[{}]:{}", address.host, *port);
  return address;
}

/// Returns the number of the interface that is the zone of an IPv6 address: "eth0" or "2". Returns
/// 0 if there is no such interface.
std::uint32_t zone_number(const std::string& zone) {
  const std::uint32_t index = if_nametoindex(zone.c_str());
  return index != 0 ? index : parse_number<std::uint32_t>(zone).value_or(0);
}

/// Numeric hosts are tried before getaddrinfo: loading the name service costs a short-lived
/// program more than all else it does.
std::optional<SocketAddress> numeric_address(const std::string& host, std::uint16_t port) {
  sockaddr_in v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return SocketAddress(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  sockaddr_in6 v6{};
  const auto percent = host.find('%');
  if (inet_pton(AF_INET6, host.substr(0, percent).c_str(), &v6.sin6_addr) != 1) {
    return std::nullopt;
  }
  if (percent != std::string::npos) {
    v6.sin6_scope_id = zone_number(host.substr(percent + 1));
    if (v6.sin6_scope_id == 0) { return std::nullopt; }
  }
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  return SocketAddress(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
}

}  // namespace

Address Address::parse(std::string_view text) {
  Address address;
  address.text = text;
  if (const auto path = after_prefix(text, "unix:")) {
    address.kind = Kind::unix_path;
    address.name = *path;
    const bool is_path =
        path->starts_with('/') || path->starts_with("./") || path->starts_with("../");
    if (is_path) { address.text = address.name; }
  } else if (text.starts_with('/') || text.starts_with("./") || text.starts_with("../")) {
    address.kind = Kind::unix_path;
    address.name = text;
  } else if (const auto name = after_prefix(text, "@")) {
    address.kind = Kind::abstract;
    address.name = *name;
  } else if (const auto number = after_prefix(text, "fd:")) {
    address.kind = Kind::inherited;
    const auto value = parse_number<int>(*number);
    if (!value || *value < 0) { refuse(text, "fd: is followed by a descriptor's number"); }
    address.number = *value;
  } else if (const auto command = after_prefix(text, "exec:")) {
    address.kind = Kind::exec;
    address.name = *command;
    if (address.name.empty()) { refuse(text, "exec: is followed by a command"); }
  } else {
    return parse_tcp(text);
  }
  // The limits of unix(7) are checked here, so that a bad name is a usage error.
  if (address.kind == Kind::unix_path) { SocketAddress::unix_path(address.name); }
  if (address.kind == Kind::abstract) { SocketAddress::unix_abstract(address.name); }
  return address;
}

std::optional<SocketAddress> Address::without_lookup() const {
  if (kind == Kind::unix_path) { return SocketAddress::unix_path(name); }
  if (kind == Kind::abstract) { return SocketAddress::unix_abstract(name); }
  return numeric_address(host, port);
}

std::vector<SocketAddress> Address::resolve() const {
  if (const auto known = without_lookup()) { return {*known}; }
  HostLookup found = look_up_host(host);
  if (found.failure) {
    throw Unreachable(fmt::format("cannot look up {}: {}", host, found.failure->reason));
  }
  for (SocketAddress& address : found.addresses) { address.set_port(port); }
  return std::move(found.addresses);
}

}  // namespace handoff
