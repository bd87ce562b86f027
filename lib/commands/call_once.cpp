// SPDX-License-Identifier: MIT
#include "commands/call_once.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>

#include "cli/suggest.hpp"

namespace handoff {
namespace {

/// How long the server may take to say what methods it has.
constexpr auto kSuggestionTime = std::chrono::seconds(1);

}  // namespace

Task<ExitCode> CallOnce::run() {
  std::optional<KeptReply> refusal;
  for (;;) {
    try {
      if (const auto code = co_await try_call(refusal)) { co_return *code; }
    } catch (const TimedOut&) {
      if (!refusal) { throw; }
      // A call that had too little time says less than the refusal before it.
      co_return printer_.show(*refusal, std::nullopt);
    }
    std::string reason = printer_.describe_error(refusal->result, std::nullopt);
    const bool in_time = co_await connection_.attempts().pause_before_retry(std::move(reason));
    if (!in_time) { co_return printer_.show(*refusal, std::nullopt); }
    connection_.disconnect();
  }
}

/// Returns nothing if the call may be made again; `refusal`, which must outlive the task, is the
/// reply then.
// The caller has the refusal in its own frame, and awaits the task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::optional<ExitCode>> CallOnce::try_call(std::optional<KeptReply>& refusal) {
  if (!connection_.is_connected()) { co_await connection_.connect(); }
  connection_.refuse_unread(kUnasked);
  connection_.queue(options_.params, 1);
  co_await connection_.client().flush(connection_.limit());
  const Reply reply = co_await connection_.client().receive(connection_.limit());
  connection_.number_of(reply, {1, 1});
  connection_.refuse_unread(kTooMany);
  if (is_worth_retrying(reply)) {
    refusal.emplace(reply);
    co_return std::nullopt;
  }
  if (is_of_unknown_method(reply)) {
    const KeptReply kept(reply);
    const std::string remedy = co_await suggest_method();
    co_return printer_.show(kept, std::nullopt, remedy);
  }
  if (options_.list && !reply.is_error()) { co_return printer_.show_methods(reply); }
  co_return printer_.show(reply, std::nullopt);
}

bool CallOnce::is_of_unknown_method(const Reply& reply) const {
  return reply.is_error() && !options_.full && !options_.json_rpc &&
         parse_error_result(reply.result).code == static_cast<int>(ErrorCode::method_not_found);
}

/// Asks the server what methods it has. A server that does not say so in time costs the user the
/// suggestion and nothing else.
Task<std::string> CallOnce::suggest_method() {
  std::string remedy;
  try {
    const TimeLimit limit =
        earlier(connection_.limit(), TimeLimit::after(Clock::now(), kSuggestionTime));
    ClientConnection& client = connection_.client();
    client.queue("methods", "null");
    co_await client.flush(limit);
    const Reply reply = co_await client.receive(limit);
    const auto names = nlohmann::json::parse(reply.result, nullptr, false);
    std::vector<std::string> methods;
    for (const auto& name : names) {
      if (name.is_string()) { methods.push_back(name.get<std::string>()); }
    }
    remedy = did_you_mean(options_.method, methods);
  } catch (const std::exception&) { remedy.clear(); }
  co_return remedy;
}

/// These three codes say that the server did not run the call. A descriptor cannot be connected
/// again.
bool CallOnce::is_worth_retrying(const Reply& reply) const {
  if (!connection_.attempts().has_retry() || !reply.is_error()) { return false; }
  if (options_.address.has(Address::Kind::inherited)) { return false; }
  const int code = parse_error_result(reply.result).code;
  return code == static_cast<int>(ErrorCode::busy) ||
         code == static_cast<int>(ErrorCode::shutting_down) ||
         code == static_cast<int>(ErrorCode::unreachable);
}

}  // namespace handoff
