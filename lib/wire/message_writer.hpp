// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "wire/dialect.hpp"
#include "wire/errors.hpp"

namespace handoff {

/// Appends a body to `out`. `params`, `result` and `id` are validated JSON, and `quoted_name` is a
/// JSON string. An empty `id` is left out, but null in a reply of JSON-RPC; there params that are
/// null are left out too.
void append_request(std::string& out, Dialect dialect, std::string_view method,
                    std::string_view params, std::string_view id = {});
void append_reply(std::string& out, Dialect dialect, std::string_view quoted_name,
                  std::string_view result, std::string_view id = {});
void append_error(std::string& out, Dialect dialect, ErrorCode code, std::string_view message,
                  std::string_view data, std::string_view id = {});

}  // namespace handoff
