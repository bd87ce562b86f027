// SPDX-License-Identifier: MIT
#include "rpc/reply_error.hpp"

#include <utility>

namespace handoff {

Result error_of_reply(const Reply& reply) {
  ErrorResult error = parse_error_result(reply.result);
  if (error.code != 0) {
    return Result::error(static_cast<ErrorCode>(error.code), std::move(error.message),
                         std::move(error.data));
  }
  if (error.message.empty()) { error.message = "the server gave an error without a code"; }
  return Result::error(ErrorCode::internal_error, std::move(error.message), std::move(error.data));
}

}  // namespace handoff
