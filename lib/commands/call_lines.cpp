// SPDX-License-Identifier: MIT
#include "commands/call_lines.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "wire/errors.hpp"
#include "wire/json_text.hpp"

namespace handoff {

CallLines::CallLines(Reactor& reactor, const CallOptions& options, CallConnection& connection,
                     StdoutWriter& output, ReplyPrinter& printer)
    : reactor_(reactor),
      options_(options),
      connection_(connection),
      output_(output),
      printer_(printer),
      line_sent_(reactor),
      line_answered_(reactor) {}

Task<ExitCode> CallLines::run() {
  reactor_.spawn(send_lines());
  ExitCode worst = ExitCode::done;
  for (;;) {
    co_await line_sent_.wait_until([this] { return !pending_.empty() || input_ != Input::open; });
    if (pending_.empty()) { break; }
    const PendingLine line = pending_.front();
    ExitCode code = ExitCode::negative;
    if (line.problem.empty()) {
      code = co_await answer_line(line);
    } else {
      printer_.show_problem(line.number, line.problem);
    }
    worst = std::max(worst, code);
    ++counts_.answered;
    if (code != ExitCode::done) { ++counts_.errors; }
    pending_.pop_front();
    line_answered_.notify_all();
  }
  if (!input_failure_) { connection_.refuse_unread(kTooMany); }
  if (input_failure_) { std::rethrow_exception(input_failure_); }
  co_return worst;
}

void CallLines::abandon() {
  input_ = Input::abandoned;
  connection_.client().interrupt();
  show_early_replies();
}

/// Returns the number of the line that a reply answers, which is one of those that wait.
std::uint64_t CallLines::number_of(const Reply& reply) const {
  const std::uint64_t number = connection_.number_of(reply, {pending_.front().number, line_count_});
  // The numbers of the lines that wait have no gaps.
  const PendingLine& line = pending_[number - pending_.front().number];
  if (early_.contains(number) || !line.problem.empty()) {
    throw ProtocolError(
        fmt::format("{} {} (at line {})", options_.address.text, kTooMany, line.number));
  }
  return number;
}

/// Replies of JSON-RPC may arrive in any order; those that are early are kept.
// The caller keeps the line among those that wait, and awaits the task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<ExitCode> CallLines::answer_line(const PendingLine& line) {
  for (;;) {
    if (const auto code = show_early_reply(line)) { co_return *code; }
    std::optional<Reply> reply = connection_.client().try_receive();
    if (!reply) { reply = co_await connection_.client().receive(line.limit); }
    const std::uint64_t number = number_of(*reply);
    if (number == line.number) { co_return printer_.show(*reply, line.number); }
    early_.insert_or_assign(number, KeptReply(*reply));
  }
}

std::optional<ExitCode> CallLines::show_early_reply(const PendingLine& line) {
  const auto found = early_.find(line.number);
  if (found == early_.end()) { return std::nullopt; }
  const KeptReply early = std::move(found->second);
  early_.erase(found);
  return printer_.show(early, line.number);
}

/// A failed call may have been overtaken by others. Up to the last reply that was read, each line
/// has one line in the output, which is null where no reply was read.
void CallLines::show_early_replies() {
  for (; !early_.empty() && !pending_.empty(); pending_.pop_front()) {
    const PendingLine& line = pending_.front();
    if (!line.problem.empty()) {
      printer_.show_problem(line.number, line.problem);
    } else if (!show_early_reply(line)) {
      printer_.show_nothing();
    }
  }
}

/// A failure to read or to send is thrown only after the replies to what was sent before.
Task<void> CallLines::send_lines() {
  try {
    co_await send_until_end();
  } catch (...) { input_failure_ = std::current_exception(); }
  if (input_ == Input::open) { input_ = Input::ended; }
  line_sent_.notify_all();
}

/// Sends as many calls ahead of the replies as is allowed, and none while stdout is slower than the
/// server: the results that wait for it would grow without a limit.
Task<void> CallLines::send_until_end() {
  Stream input(reactor_, Fd(STDIN_FILENO));
  std::array<char, 64 * 1024> buffer;
  std::string rest;
  for (;;) {
    IoResult result{IoResult::Outcome::end};
    try {
      result = co_await input.read_some(buffer);
    } catch (const SystemError& error) {
      // stdin is closed, or not open for reading.
      throw SystemError(error.error_number(), error.attempt(), "stdin");
    }
    if (result.outcome == IoResult::Outcome::broken) {
      throw SystemError(result.error_number, "read", "stdin");
    }
    if (!result.done()) { break; }
    // The part that was searched before is not searched again: a line may be long.
    std::size_t end = rest.size();
    rest.append(buffer.data(), result.size);
    std::size_t start = 0;
    while ((end = rest.find('\n', end)) != std::string::npos) {
      if (!has_room()) {
        co_await connection_.client().flush(kNever);
        co_await line_answered_.wait_until([this] { return has_room(); });
      }
      if (output_.is_behind()) {
        co_await connection_.client().flush(kNever);
        co_await output_.caught_up();
      }
      if (input_ == Input::abandoned) { co_return; }
      send_line(std::string_view(rest).substr(start, end - start));
      start = ++end;
    }
    rest.erase(0, start);
    co_await connection_.client().flush(kNever);
  }
  if (input_ == Input::abandoned) { co_return; }
  if (!rest.empty()) { send_line(rest); }
  co_await connection_.client().flush(kNever);
}

void CallLines::send_line(std::string_view line) {
  PendingLine pending{++line_count_, TimeLimit::after(Clock::now(), options_.timeout), {}};
  if (const auto problem = json_problem(line)) {
    pending.problem = "not JSON: " + *problem;
  } else if (options_.json_rpc && !is_json_rpc_params(line)) {
    pending.problem = kNotStructured;
  } else {
    if (pending_.empty()) { connection_.refuse_unread(line_count_ == 1 ? kUnasked : kTooMany); }
    connection_.queue(line, pending.number);
  }
  pending_.push_back(std::move(pending));
  line_sent_.notify_all();
}

}  // namespace handoff
