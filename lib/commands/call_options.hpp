// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "async/reactor.hpp"
#include "commands/render.hpp"
#include "os/address.hpp"
#include "wire/limits.hpp"

namespace handoff {

struct CallOptions {
  Address address;
  std::string method;
  std::string params = "null";
  bool lines = false;  ///< params come as lines of stdin
  bool list = false;   ///< show the methods
  bool full = false;   ///< show whole replies
  bool json_rpc = false;
  Rendering rendering = Rendering::compact;
  Output output = Output::other;
  Duration timeout = std::chrono::seconds(60);
  Duration connect_timeout = std::chrono::seconds(10);
  int retries = 0;
  bool wait = false;  ///< until the server is up
  std::size_t pipeline = 64;
  std::uint32_t max_frame = limits::kMaxFrame;
  std::vector<int> ok_codes;  ///< errors that are success
};

/// What is wrong with these params in JSON-RPC, whatever they are.
inline constexpr std::string_view kNotStructured =
    "JSON-RPC has only objects and arrays for params";

/// Returns whether valid JSON can be the params of a JSON-RPC request. Null can: it is sent as no
/// params at all.
bool is_json_rpc_params(std::string_view json);

}  // namespace handoff
