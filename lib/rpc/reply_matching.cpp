// SPDX-License-Identifier: MIT
#include "rpc/reply_matching.hpp"

#include <fmt/format.h>

#include <string>

#include <handoff/wire/errors.hpp>

#include "os/parse_number.hpp"

namespace handoff {
namespace {

std::string ids_of(WaitingCalls calls) {
  if (calls.first == calls.last) { return fmt::format("the call has the id {}", calls.first); }
  return fmt::format("the calls have the ids {} to {}", calls.first, calls.last);
}

}  // namespace

std::uint64_t call_answered_by(const Reply& reply, Dialect dialect, WaitingCalls calls,
                               std::string_view server) {
  const bool has_id = !reply.id.empty() && reply.id != "null";
  if (dialect == Dialect::article) {
    if (!has_id) { return calls.first; }
    throw ProtocolError(
        fmt::format("{} sent a reply to another call: it has the id {}, and the call has none",
                    server, reply.id));
  }
  if (!has_id && reply.is_error()) { return calls.first; }
  const auto number = parse_number<std::uint64_t>(reply.id);
  if (number && *number >= calls.first && *number <= calls.last) { return *number; }
  throw ProtocolError(fmt::format("{} sent a reply to another call: it has {}, and {}", server,
                                  has_id ? fmt::format("the id {}", reply.id) : "no id",
                                  ids_of(calls)));
}

}  // namespace handoff
