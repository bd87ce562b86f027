// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <handoff/os/socket_address.hpp>

#include "pass/connection.hpp"

/// Encodes and decodes the text that comes with a connection in the plain form of a channel
/// (handoff-wire(7), Plain form): a zero byte, and the client's address if the connection comes
/// from a proxy.
namespace handoff::plain_form {

/// The longest text, in bytes.
inline constexpr std::size_t kMaxText = 256;

/// Returns the text for a connection. It has an address only if the connection's peer is known and
/// is not that of the socket, which every receiver can ask for.
std::string text_of(const Connection& connection);

/// Returns the address of the client, or nothing if `text` has none.
std::optional<SocketAddress> client_of(std::string_view text);

}  // namespace handoff::plain_form
