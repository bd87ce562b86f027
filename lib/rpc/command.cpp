// SPDX-License-Identifier: MIT
#include "rpc/command.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/memory.hpp"
#include "os/process.hpp"

namespace handoff {
namespace {

/// How much of the end of stderr an error reply carries.
constexpr std::size_t kStderrTail = 2048;

constexpr std::array<const char*, 9> kUsualNames = {"PATH", "HOME", "USER",   "LOGNAME", "SHELL",
                                                    "LANG", "TZ",   "TMPDIR", "LC_ALL"};

std::vector<std::string> make_environment(const Call& call, const CommandOptions& options) {
  std::vector<std::string> environment;
  const auto copy = [&](const std::string& name) {
    if (const char* value = std::getenv(name.c_str())) {
      environment.push_back(fmt::format("{}={}", name, value));
    }
  };
  for (const char* name : kUsualNames) copy(name);
  for (const std::string& name : options.environment_names) copy(name);
  environment.push_back("RPC_METHOD=" + call.method);
  environment.push_back("RPC_PEER=" + call.peer);
  environment.push_back("RPC_ID=" + call.id);
  return environment;
}

/// A running command: its ends of the pipes, and what came through them so far.
struct Run {
  Run(Reactor& reactor, Fd out_end, Fd err_end, int pidfd)
      : out(reactor, std::move(out_end), Stream::Kind::nonblocking),
        err(reactor, std::move(err_end), Stream::Kind::nonblocking),
        exited(std::in_place, reactor, pidfd) {}

  Stream out;
  Stream err;
  std::optional<Readiness> exited;  ///< until the command is reaped
  std::string output;
  std::string error_tail;
  bool too_long = false;
  bool over = false;
};

/// Moves what is in the pipe to `run`; false when nothing more can come.
bool collect(Run& run, Stream& stream, std::size_t max_output) {
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const IoResult result = stream.try_read(buffer);
    if (result.outcome == IoResult::Outcome::would_block) return true;
    if (!result.done()) return false;
    const std::string_view bytes(buffer.data(), result.size);
    if (&stream == &run.err) {
      run.error_tail.append(bytes);
      if (run.error_tail.size() > kStderrTail) {
        run.error_tail.erase(0, run.error_tail.size() - kStderrTail);
      }
    } else if (run.output.size() + bytes.size() > max_output) {
      run.too_long = true;
      return false;
    } else {
      run.output.append(bytes);
    }
  }
}

/// Collects until the pipe's end or the command's. `run` is shared, for a process that escaped
/// may hold the pipe for longer than the call lasts.
Task<void> collect_all(std::shared_ptr<Run> run, Stream& stream, std::size_t max_output) {
  while (!run->over && collect(*run, stream, max_output)) co_await stream.readable();
  if (run->too_long && run->exited) run->exited->interrupt();
}

/// False when the deadline or an interruption came first.
Task<bool> wait_until(Readiness& readiness, TimePoint when) {
  Deadline deadline(readiness, when);
  co_return co_await readiness.readable();
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ' ||
                           text.back() == '\t')) {
    text.pop_back();
  }
  return text;
}

Result failure(const ExitStatus& status, const std::string& error_tail) {
  nlohmann::ordered_json data;
  if (status.signal != 0) {
    data["signal"] = status.signal;
  } else {
    data["status"] = status.code;
  }
  data["stderr"] = trimmed(error_tail);
  using nlohmann::json;
  return Result::error(ErrorCode::handler_failed, status.text(),
                       data.dump(-1, ' ', false, json::error_handler_t::replace));
}

Result make_result(Run& run, const ExitStatus& status, const CommandOptions& options) {
  if (!status.success()) return failure(status, run.error_tail);
  std::string output = trimmed(std::move(run.output));
  if (output.empty() && !options.text) return Result::success("null");
  const auto problem = json_problem(output);
  if (!problem) return Result::success(std::move(output));
  if (options.text) return Result::success(quote_json(output));
  return Result::error(ErrorCode::handler_failed,
                       fmt::format("the command's output is not JSON: {}", *problem));
}

Task<Result> run_command(Reactor& reactor, const std::string& command,
                         const CommandOptions& options, Call call) {
  const Fd input = make_sealed_file("params", call.params);
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  SpawnOptions spawn_options;
  spawn_options.argv = {"sh", "-c", command};
  spawn_options.environment = make_environment(call, options);
  spawn_options.descriptors = {
      {input.get(), 0}, {out.write_end.get(), 1}, {err.write_end.get(), 2}};
  spawn_options.no_new_privileges = true;
  spawn_options.parent_death_signal = SIGKILL;
  Child child = spawn(spawn_options);
  out.write_end.reset();
  err.write_end.reset();
  // Our ends are open files of their own: the flag does not reach the command.
  set_nonblocking(out.read_end.get());
  set_nonblocking(err.read_end.get());

  auto run = std::make_shared<Run>(reactor, std::move(out.read_end), std::move(err.read_end),
                                   child.pidfd());
  reactor.spawn(collect_all(run, run->out, options.max_output));
  reactor.spawn(collect_all(run, run->err, options.max_output));
  const bool in_time = co_await wait_until(*run->exited, call.deadline);

  // Whatever it left behind goes with it; while it is not reaped, its number is the group's.
  child.kill_group(SIGKILL);
  if (!in_time) co_await wait_until(*run->exited, kNever);
  run->exited.reset();
  const ExitStatus status = child.reap();
  run->over = true;
  collect(*run, run->out, options.max_output);
  collect(*run, run->err, options.max_output);
  run->out.interrupt();
  run->err.interrupt();
  if (run->too_long) {
    co_return Result::error(
        ErrorCode::handler_failed,
        fmt::format("the command's output exceeds the limit of {} bytes", options.max_output));
  }
  if (!in_time) {
    co_return Result::error(ErrorCode::timed_out, "the command did not end in time");
  }
  co_return make_result(*run, status, options);
}

}  // namespace

Handler make_command_handler(Reactor& reactor, std::string command, CommandOptions options) {
  return [&reactor, command = std::move(command), options = std::move(options)](Call call) {
    return run_command(reactor, command, options, std::move(call));
  };
}

}  // namespace handoff
