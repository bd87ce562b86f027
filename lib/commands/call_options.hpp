// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/os/address.hpp>
#include <handoff/wire/limits.hpp>

#include "commands/render.hpp"
#include "os/address_list.hpp"

namespace handoff {

/// The options of rpc-call; the manual page says more about each.
struct CallOptions {
  AddressList address;  ///< of the server, or of several of which each will do
  std::string method;
  /// The params of a single call: validated JSON.
  std::string params = "null";
  bool lines = false;     ///< reads params from the lines of stdin, one call each
  bool list = false;      ///< shows the names of the server's methods
  bool progress = false;  ///< shows on stderr how far the lines are
  Duration watch{};       ///< the time from one call to the next; 0: there is one call
  bool full = false;      ///< shows whole replies rather than results
  bool json_rpc = false;
  Rendering rendering = Rendering::compact;
  Output output = Output::other;
  /// The deadline of connecting and a single call together; with `lines`, of connecting and then of
  /// each line's call from when the line was read. 0 is none.
  Duration timeout = std::chrono::seconds(60);
  /// The deadline of each attempt to connect; 0 is none.
  Duration connect_timeout = std::chrono::seconds(10);
  /// How often connecting and a refused call may be repeated, together.
  int retries = 0;
  bool wait = false;  ///< connects again and again until the server is up
  /// With `lines`: the most calls that wait for replies at a time.
  std::size_t pipeline = 64;
  /// The longest body of a reply in bytes; a longer one is a protocol error.
  std::uint32_t max_frame = limits::kMaxFrame;
  std::vector<int> ok_codes;  ///< codes of errors that count as success
};

/// Why params are refused in JSON-RPC that are valid JSON.
inline constexpr std::string_view kNotStructured =
    "JSON-RPC has only objects and arrays for params";

/// Returns whether `json`, which is valid JSON, can be the params of a JSON-RPC request. Null can:
/// such a request is sent without params.
bool is_json_rpc_params(std::string_view json);

}  // namespace handoff
