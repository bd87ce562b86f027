// SPDX-License-Identifier: MIT
#include "commands/call.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/printable.hpp"
#include "rpc/reply_matching.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

constexpr std::string_view kUnasked = "sent something before there was a call";
constexpr std::string_view kTooMany = "sent more replies than there were calls";

constexpr const char* kNotStructured = "JSON-RPC has only objects and arrays for params";

/// Null is no params at all.
bool is_json_rpc_params(std::string_view json) {
  const std::size_t begin = json.find_first_not_of(" \t\r\n");
  json.remove_prefix(std::min(begin, json.size()));
  return is_structured(json) || json.starts_with('n');
}

/// The last line of what a failed command wrote to its stderr, if the error carries that.
std::string last_words(const std::string& data) {
  const auto json = nlohmann::json::parse(data, nullptr, false);
  if (!json.is_object() || !json.contains("stderr") || !json["stderr"].is_string()) return "";
  const auto text = json["stderr"].get<std::string>();
  return text.empty() ? "" : ": " + text.substr(text.rfind('\n') + 1);
}

}  // namespace

CallCommand::CallCommand(Reactor& reactor, CallOptions options, StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      log_(log),
      output_(reactor),
      line_sent_(reactor),
      line_answered_(reactor) {
  if (options_.list) options_.method = "methods";
  if (options_.json_rpc && !options_.lines && !is_json_rpc_params(options_.params)) {
    throw InvalidArgument(fmt::format("params {}: {}", options_.params, kNotStructured));
  }
}

/// Results go to stdout while replies are read, so that the deadline of a call measures the server
/// and never the reader of stdout. What was read is printed even if a later call fails.
Task<ExitCode> CallCommand::run() {
  start_clock();
  reactor_.spawn(output_.run());
  co_await connect();
  ExitCode code = ExitCode::done;
  std::exception_ptr failure;
  try {
    if (options_.lines) {
      code = co_await call_lines();
    } else {
      code = co_await call_once();
    }
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    input_ = Input::abandoned;
    if (client_) client_->interrupt();
    show_early_replies();
  }
  co_await output_.drained();
  if (failure) std::rethrow_exception(failure);
  co_return code;
}

void CallCommand::start_clock() {
  const TimePoint now = Clock::now();
  AttemptOptions attempt;
  attempt.mode = options_.wait ? AttemptMode::wait : AttemptMode::retry;
  attempt.retries = options_.retries;
  attempt.limit = TimeLimit::after(now, options_.timeout);
  limit_ = attempt.limit;
  attempt.attempt_timeout = options_.connect_timeout;
  attempt.on_waiting = [this](const std::string& text) { log_.detail(text); };
  attempt.silence = fmt::format("no answer from {} yet", options_.address.text);
  attempts_.emplace(reactor_, std::move(attempt));
}

/// Tries until there is a connection, or as long as the options allow.
Task<void> CallCommand::connect() {
  client_ = co_await attempts_->run<std::unique_ptr<Client>>([this](TimeLimit limit) {
    return Client::connect(reactor_, options_.address, limit, options_.max_frame);
  });
  log_.detail(fmt::format("connected to {}", options_.address.text));
}

Task<ExitCode> CallCommand::call_once() {
  std::optional<KeptReply> refusal;
  for (;;) {
    try {
      if (const auto code = co_await try_call(refusal)) co_return *code;
    } catch (const TimedOut&) {
      if (!refusal) throw;
      // That the last call had too little time says less than why the server refused those before.
      co_return show(*refusal, std::nullopt);
    }
    std::string reason = describe_error(refusal->result, std::nullopt);
    const bool in_time = co_await attempts_->pause_before_retry(std::move(reason));
    if (!in_time) co_return show(*refusal, std::nullopt);
    client_.reset();
  }
}

/// Gives nothing when the call may be made again; then `refusal`, which must outlive the task, is
/// the reply.
Task<std::optional<ExitCode>> CallCommand::try_call(std::optional<KeptReply>& refusal) {
  if (!client_) co_await connect();
  refuse_unread(kUnasked);
  queue(options_.params, 1);
  co_await client_->flush(limit_);
  const Reply reply = co_await client_->receive(limit_);
  call_answered_by(reply, dialect(), {1, 1}, options_.address.text);
  refuse_unread(kTooMany);
  if (is_worth_retrying(reply)) {
    refusal = KeptReply{true, std::string(reply.result), std::string(reply.body)};
    co_return std::nullopt;
  }
  co_return options_.list && !reply.is_error() ? list_methods(reply) : show(reply, std::nullopt);
}

/// The server said that it did not run the call, and can be connected to again.
bool CallCommand::is_worth_retrying(const Reply& reply) const {
  if (!attempts_->has_retry() || !reply.is_error()) return false;
  if (options_.address.kind == Address::Kind::inherited) return false;
  const int code = parse_error_result(reply.result).code;
  return code == static_cast<int>(ErrorCode::busy) ||
         code == static_cast<int>(ErrorCode::shutting_down) ||
         code == static_cast<int>(ErrorCode::unreachable);
}

Task<ExitCode> CallCommand::call_lines() {
  reactor_.spawn(send_lines());
  ExitCode worst = ExitCode::done;
  for (;;) {
    co_await line_sent_.wait_until([this] { return !pending_.empty() || input_ != Input::open; });
    if (pending_.empty()) break;
    const PendingLine line = pending_.front();
    ExitCode code = ExitCode::negative;
    if (line.problem.empty()) {
      code = co_await answer_line(line);
    } else {
      show_problem(line);
    }
    worst = std::max(worst, code);
    pending_.pop_front();
    line_answered_.notify_all();
  }
  if (!input_failure_) refuse_unread(kTooMany);
  if (input_failure_) std::rethrow_exception(input_failure_);
  co_return worst;
}

void CallCommand::queue(std::string_view params, std::uint64_t number) {
  if (!options_.json_rpc) return client_->queue(options_.method, params);
  client_->queue(options_.method, params, fmt::format_int(number).str(), Dialect::json_rpc);
}

/// When no call waits, nothing may have arrived: what has would be taken for the next reply.
void CallCommand::refuse_unread(std::string_view why) const {
  if (client_->has_unread()) {
    throw ProtocolError(fmt::format("{} {}", options_.address.text, why));
  }
}

/// The line that a reply answers, of those that wait.
std::uint64_t CallCommand::number_of(const Reply& reply) const {
  const std::uint64_t number = call_answered_by(
      reply, dialect(), {pending_.front().number, line_count_}, options_.address.text);
  // The numbers of the lines that wait have no gaps.
  const PendingLine& line = pending_[number - pending_.front().number];
  if (early_.contains(number) || !line.problem.empty()) {
    throw ProtocolError(
        fmt::format("{} {} (at line {})", options_.address.text, kTooMany, line.number));
  }
  return number;
}

/// Replies of JSON-RPC come in any order; those that are early are kept.
Task<ExitCode> CallCommand::answer_line(const PendingLine& line) {
  for (;;) {
    if (const auto code = show_early_reply(line)) co_return *code;
    std::optional<Reply> reply = client_->try_receive();
    if (!reply) reply = co_await client_->receive(line.limit);
    const std::uint64_t number = number_of(*reply);
    if (number == line.number) co_return show(*reply, line.number);
    early_.insert_or_assign(
        number, KeptReply{reply->is_error(), std::string(reply->result), std::string(reply->body)});
  }
}

std::optional<ExitCode> CallCommand::show_early_reply(const PendingLine& line) {
  const auto found = early_.find(line.number);
  if (found == early_.end()) return std::nullopt;
  const KeptReply early = std::move(found->second);
  early_.erase(found);
  return show(early, line.number);
}

/// When a call has failed that others had overtaken: up to the last reply that was read, each line
/// has one in the output, which is null where no reply was read.
void CallCommand::show_early_replies() {
  for (; !early_.empty() && !pending_.empty(); pending_.pop_front()) {
    const PendingLine& line = pending_.front();
    if (!line.problem.empty()) {
      show_problem(line);
    } else if (!show_early_reply(line)) {
      print("null");
    }
  }
}

/// A failure to read or to send waits for the replies to what was sent before.
Task<void> CallCommand::send_lines() {
  try {
    co_await send_until_end();
  } catch (...) {
    input_failure_ = std::current_exception();
  }
  if (input_ == Input::open) input_ = Input::ended;
  line_sent_.notify_all();
}

/// Reads lines and sends each as a call, as many ahead of the replies as is allowed, and none while
/// the output is behind: with what is kept for it, that would grow without a limit.
Task<void> CallCommand::send_until_end() {
  Stream input(reactor_, Fd(STDIN_FILENO));
  std::array<char, 64 * 1024> buffer;
  std::string rest;
  for (;;) {
    IoResult result{IoResult::Outcome::end};
    try {
      result = co_await input.read_some(buffer);
    } catch (const SystemError& error) {
      // It is closed, or not open for reading.
      throw SystemError(error.error_number(), error.attempt(), "stdin");
    }
    if (result.outcome == IoResult::Outcome::broken) {
      throw SystemError(result.error_number, "read", "stdin");
    }
    if (!result.done()) break;
    // What was searched before is not searched again: a line may be long.
    std::size_t end = rest.size();
    rest.append(buffer.data(), result.size);
    std::size_t start = 0;
    while ((end = rest.find('\n', end)) != std::string::npos) {
      if (!has_room()) {
        co_await client_->flush(kNever);
        co_await line_answered_.wait_until([this] { return has_room(); });
      }
      if (output_.is_behind()) {
        co_await client_->flush(kNever);
        co_await output_.caught_up();
      }
      if (input_ == Input::abandoned) co_return;
      send_line(std::string_view(rest).substr(start, end - start));
      start = ++end;
    }
    rest.erase(0, start);
    co_await client_->flush(kNever);
  }
  if (input_ == Input::abandoned) co_return;
  if (!rest.empty()) send_line(rest);
  co_await client_->flush(kNever);
}

void CallCommand::send_line(std::string_view line) {
  PendingLine pending{++line_count_, TimeLimit::after(Clock::now(), options_.timeout), {}};
  if (const auto problem = json_problem(line)) {
    pending.problem = "not JSON: " + *problem;
  } else if (options_.json_rpc && !is_json_rpc_params(line)) {
    pending.problem = kNotStructured;
  } else {
    if (pending_.empty()) refuse_unread(line_count_ == 1 ? kUnasked : kTooMany);
    queue(line, pending.number);
  }
  pending_.push_back(std::move(pending));
  line_sent_.notify_all();
}

void CallCommand::show_problem(const PendingLine& line) {
  log_.error(fmt::format("line {} of stdin: {}", line.number, line.problem));
  print("null");
}

/// Prints a reply; `line` is the number of the line that it answers, if it answers one.
ExitCode CallCommand::show(const Reply& reply, LineNumber line) {
  if (options_.full) print(render_json(reply.body, options_.rendering, options_.output));
  if (!reply.is_error()) {
    if (!options_.full) print(render_json(reply.result, options_.rendering, options_.output));
    return ExitCode::done;
  }
  const ErrorResult error = parse_error_result(reply.result);
  const bool is_ok = std::find(options_.ok_codes.begin(), options_.ok_codes.end(), error.code) !=
                     options_.ok_codes.end();
  if (options_.lines && !options_.full) print("null");
  if (is_ok) return ExitCode::done;
  log_.error(describe_error(reply.result, line));
  return ExitCode::negative;
}

/// "echo on ./s failed: busy", from the result of an error reply.
std::string CallCommand::describe_error(std::string_view result, LineNumber line) const {
  const ErrorResult error = parse_error_result(result);
  const std::string text = error.message.empty() ? std::string(result) : error.message;
  const std::string where = line ? fmt::format(" for line {}", *line) : "";
  return fmt::format("{} on {} failed{}: {}{}", options_.method.empty() ? "''" : options_.method,
                     options_.address.text, where, text, last_words(error.data));
}

ExitCode CallCommand::show(const KeptReply& kept, LineNumber line) {
  return show(Reply{kept.is_error ? "error" : "", kept.result, {}, kept.body}, line);
}

ExitCode CallCommand::list_methods(const Reply& reply) {
  const auto names = nlohmann::json::parse(reply.result);
  if (!names.is_array()) {
    throw ProtocolError(
        fmt::format("methods on {} failed: the result is no list of names", options_.address.text));
  }
  for (const auto& name : names) {
    // One line each, whatever a server calls its methods.
    print(name.is_string() ? printable(name.get<std::string>()) : name.dump());
  }
  return ExitCode::done;
}

void CallCommand::print(std::string_view text) {
  output_.add(text);
  output_.add("\n");
}

}  // namespace handoff
