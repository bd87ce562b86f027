// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "wire/dialect.hpp"
#include "wire/errors.hpp"

namespace handoff {

/// These functions append a body, without its frame, to `out`. `params`, `result`, `data` and `id`
/// must be validated JSON; `quoted_name` is a JSON string with its quotes; `method` and `message`
/// are plain text, which is quoted here. An empty `id` is left out, except that a reply of JSON-RPC
/// then has the id null. A request of JSON-RPC whose params are null has none. An error without
/// `data` passes an empty one.
void append_request(std::string& out, Dialect dialect, std::string_view method,
                    std::string_view params, std::string_view id = {});
void append_reply(std::string& out, Dialect dialect, std::string_view quoted_name,
                  std::string_view result, std::string_view id = {});
void append_error(std::string& out, Dialect dialect, ErrorCode code, std::string_view message,
                  std::string_view data, std::string_view id = {});

}  // namespace handoff
