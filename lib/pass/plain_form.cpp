// SPDX-License-Identifier: MIT
#include "pass/plain_form.hpp"

#include <handoff/os/address.hpp>
#include <handoff/os/error.hpp>

#include "os/socket.hpp"

namespace handoff::plain_form {
namespace {

constexpr std::string_view kUnnamed = "unix";

SocketAddress unnamed_peer() {
  const sa_family_t family = AF_UNIX;
  return SocketAddress(reinterpret_cast<const sockaddr*>(&family), sizeof family);
}

}  // namespace

std::string text_of(const Connection& connection) {
  std::string text(1, '\0');
  const SocketAddress own = peer_address(connection.socket.get());
  if (connection.peer.family() == AF_UNSPEC || own.family() == AF_UNSPEC) { return text; }
  const std::string client = connection.peer.text();
  if (client == own.text() || text.size() + client.size() > kMaxText) { return text; }
  return text.append(client);
}

std::optional<SocketAddress> client_of(std::string_view text) {
  if (text.size() < 2 || text.front() != '\0') { return std::nullopt; }
  text.remove_prefix(1);
  if (text == kUnnamed) { return unnamed_peer(); }
  try {
    const Address address = Address::parse(text);
    const bool has_form = address.kind == Address::Kind::tcp ||
                          address.kind == Address::Kind::unix_path ||
                          address.kind == Address::Kind::abstract;
    return has_form ? address.without_lookup() : std::nullopt;
  } catch (const InvalidArgument&) { return std::nullopt; }
}

}  // namespace handoff::plain_form
