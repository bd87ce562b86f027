// SPDX-License-Identifier: MIT
#pragma once

#include <ctime>
#include <string>
#include <string_view>

namespace handoff {

/// A reply of HTTP/1.1 after which the connection is closed.
struct HttpReply {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body{};
  std::string_view allow{};  ///< the field Allow, of status 405; empty: none
};

/// Says whether a reply is sent with its body, or without it as to HEAD.
enum class HttpBody { sent, left_out };

/// Writes a reply of the time `now`. No cache may keep it, and no browser may take it for anything
/// but its type.
std::string to_text(const HttpReply& reply, HttpBody body, std::time_t now);

}  // namespace handoff
