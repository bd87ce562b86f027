// SPDX-License-Identifier: MIT
#include "commands/call_lines.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include <handoff/async/stream.hpp>
#include <handoff/os/error.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/json_text.hpp>

namespace handoff {

CallLines::CallLines(Reactor& reactor, const CallOptions& options, CallConnection& connection,
                     StdoutWriter& output, ReplyPrinter& printer)
    : reactor_(reactor),
      options_(options),
      connection_(connection),
      output_(output),
      printer_(printer),
      line_sent_(reactor),
      line_answered_(reactor),
      flush_possible_(reactor) {}

Task<ExitCode> CallLines::run() {
  reactor_.spawn(send_lines());
  ExitCode worst = ExitCode::done;
  for (;;) {
    co_await line_sent_.wait_until([this] { return !pending_.empty() || input_ != Input::open; });
    if (pending_.empty()) { break; }
    const PendingLine& line = pending_.front();
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
  if (connection_.is_connected()) { connection_.client().interrupt(); }
  flush_possible_.notify_all();
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
    if (link_ == Link::ended) { co_await send_again(line.limit); }
    std::optional<Reply> reply = connection_.client().try_receive();
    if (!reply) { reply = co_await receive(line.limit); }
    const std::uint64_t number = number_of(*reply);
    if (reply->is_last) { link_ = Link::ended; }
    if (number == line.number) { co_return printer_.show(*reply, line.number); }
    early_.insert_or_assign(number, KeptReply(*reply));
  }
}

/// The lines are written by another task: a server that waits for its replies to be read may not
/// read on.
Task<void> CallLines::send_again(TimeLimit limit) {
  connection_.client().interrupt();
  co_await flush_possible_.wait_until([this] { return !is_flushing_; });
  co_await connection_.reconnect(limit);
  link_ = Link::open;
  write_failure_ = nullptr;
  for (const PendingLine& line : pending_) { queue(line); }
  flush_possible_.notify_all();
  reactor_.spawn(flush());
}

Task<void> CallLines::flush() {
  co_await flush_possible_.wait_until([this] { return !is_flushing_ || link_ == Link::ended; });
  if (link_ == Link::ended || input_ == Input::abandoned) { co_return; }
  is_flushing_ = true;
  try {
    co_await connection_.client().flush(kNever);
  } catch (...) {
    write_failure_ = std::current_exception();
    connection_.client().interrupt();
  }
  is_flushing_ = false;
  flush_possible_.notify_all();
}

/// Waits for a reply. What has arrived counts more than a failure to write, because it may say that
/// the server has ended in order.
Task<Reply> CallLines::receive(TimeLimit limit) {
  std::optional<Reply> reply;
  try {
    reply = co_await connection_.client().receive(limit);
  } catch (const TimedOut&) {
    if (!write_failure_) { throw; }
  }
  if (!reply) { std::rethrow_exception(write_failure_); }
  co_return *reply;
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

/// A failure to read is thrown only after the replies to what was sent before.
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
        co_await flush();
        co_await line_answered_.wait_until([this] { return has_room(); });
      }
      if (output_.is_behind()) {
        co_await flush();
        co_await output_.caught_up();
      }
      if (input_ == Input::abandoned) { co_return; }
      send_line(std::string_view(rest).substr(start, end - start));
      start = ++end;
    }
    rest.erase(0, start);
    co_await flush();
  }
  if (input_ == Input::abandoned) { co_return; }
  if (!rest.empty()) { send_line(rest); }
  co_await flush();
}

void CallLines::send_line(std::string_view line) {
  PendingLine pending{++line_count_, TimeLimit::after(Clock::now(), options_.timeout), {}, {}};
  if (const auto problem = json_problem(line)) {
    pending.problem = "not JSON: " + *problem;
  } else if (options_.json_rpc && !is_json_rpc_params(line)) {
    pending.problem = kNotStructured;
  } else {
    if (pending_.empty() && link_ == Link::open) {
      connection_.refuse_unread(line_count_ == 1 ? kUnasked : kTooMany);
      if (connection_.client().has_ended()) { link_ = Link::ended; }
    }
    pending.params = line;
    if (link_ == Link::open) { queue(pending); }
  }
  pending_.push_back(std::move(pending));
  line_sent_.notify_all();
}

void CallLines::queue(const PendingLine& line) {
  if (line.problem.empty()) { connection_.queue(line.params, line.number); }
}

}  // namespace handoff
