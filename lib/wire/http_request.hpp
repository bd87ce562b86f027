// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

/// Decodes the head of a request of HTTP/1 (RFC 9112), as far as a server needs it that answers GET
/// and HEAD, and closes the connection after its reply. Nothing here does I/O.
namespace handoff {

/// A request without its body, as views of the bytes that were decoded.
struct HttpRequest {
  std::string_view method;
  std::string_view path;                 ///< begins with a slash, and has no query
  std::optional<std::string_view> host;  ///< the field Host, with the port; none in HTTP/1.0 only
};

/// The result of decode_http_request().
struct DecodedHttpRequest {
  enum class Outcome : std::uint8_t {
    complete,
    partial,    ///< more bytes are needed
    malformed,  ///< it is no request, or has a body, which no request here has
    too_long,   ///< the head exceeds the limit
    version,    ///< it is a request of another version than 1.0 and 1.1
  };
  Outcome outcome = Outcome::partial;
  HttpRequest request{};  ///< if it is complete
};

/// Decodes the head at the beginning of `bytes`, which may have at most `limit` bytes.
DecodedHttpRequest decode_http_request(std::string_view bytes, std::size_t limit);

/// Returns whether a name of a host, as the field Host has it, is an IP address or `localhost`. A
/// page that lets its own name refer to an address of its reader's machine (DNS rebinding) cannot
/// make a browser send such a field.
bool names_no_other_host(std::string_view host);

}  // namespace handoff
