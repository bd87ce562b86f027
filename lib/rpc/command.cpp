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

}  // namespace

/// A running command: its ends of the pipes, and what came through them so far.
struct Commands::Run {
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

  bool collect(Stream& stream, std::size_t max_output);
  static Task<void> collect_all(std::shared_ptr<Run> run, Stream& stream, std::size_t max_output);
};

/// Takes what is in the pipe; false when nothing more can come.
bool Commands::Run::collect(Stream& stream, std::size_t max_output) {
  std::array<char, 16 * 1024> buffer;
  for (;;) {
    const IoResult result = stream.try_read(buffer);
    if (result.outcome == IoResult::Outcome::would_block) return true;
    if (!result.done()) return false;
    const std::string_view bytes(buffer.data(), result.size);
    if (&stream == &err) {
      error_tail.append(bytes);
      if (error_tail.size() > kStderrTail) error_tail.erase(0, error_tail.size() - kStderrTail);
    } else if (output.size() + bytes.size() > max_output) {
      too_long = true;
      return false;
    } else {
      output.append(bytes);
    }
  }
}

/// Collects until the pipe's end or the command's. `run` is shared, for it may be left before the
/// pipe ends.
Task<void> Commands::Run::collect_all(std::shared_ptr<Run> run, Stream& stream,
                                      std::size_t max_output) {
  while (!run->over && run->collect(stream, max_output)) co_await stream.readable();
  if (run->too_long && run->exited) run->exited->interrupt();
}

/// A command from its start to its end, which comes at the latest when this is destroyed: a call
/// that is dropped leaves nothing behind.
class Commands::Running {
 public:
  Running(Commands& commands, Child child, std::string mark)
      : commands_(commands), child_(std::move(child)), mark_(std::move(mark)) {
    commands_.running_.insert(child_.pid());
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    if (!ended_) end();
  }

  int pidfd() const { return child_.pidfd(); }

  /// Kills what is left of it: its group, as long as it is not reaped and so the number is not used
  /// again, then those who left the group, by their mark.
  ExitStatus end() {
    ended_ = true;
    child_.kill_group(SIGKILL);
    const ExitStatus status = child_.reap();
    std::set<pid_t>& running = commands_.running_;
    running.erase(child_.pid());
    finish_orphans(mark_, [&running](pid_t pid) { return running.contains(pid); });
    return status;
  }

 private:
  Commands& commands_;
  Child child_;
  std::string mark_;
  bool ended_ = false;
};

namespace {

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

Result make_result(std::string output, const std::string& error_tail, const ExitStatus& status,
                   const CommandOptions& options) {
  if (!status.success()) return failure(status, error_tail);
  output = trimmed(std::move(output));
  if (output.empty() && !options.text) return Result::success("null");
  const auto problem = json_problem(output);
  if (!problem) return Result::success(std::move(output));
  if (options.text) return Result::success(quote_json(output));
  return Result::error(ErrorCode::handler_failed,
                       fmt::format("the command's output is not JSON: {}", *problem));
}

}  // namespace

Commands::Commands(Reactor& reactor, CommandOptions options)
    : reactor_(reactor), options_(std::move(options)) {}

Handler Commands::handler(std::string command) {
  return [this, command = std::move(command)](Call call) { return run(command, std::move(call)); };
}

std::string Commands::mark_of(pid_t worker) {
  return fmt::format("RPC_MARK={}-", worker);
}

Child Commands::start(const std::string& command, const Call& call, const std::string& mark,
                      int out, int err) const {
  const Fd input = make_sealed_file("params", call.params);
  SpawnOptions options;
  options.argv = {"sh", "-c", command};
  options.environment = make_environment(call, options_);
  options.environment.push_back(mark);
  options.descriptors = {{input.get(), 0}, {out, 1}, {err, 2}};
  options.no_new_privileges = true;
  options.parent_death_signal = SIGKILL;
  return spawn(options);
}

Task<Result> Commands::run(const std::string& command, Call call) {
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  // Our ends are open files of their own: the flag does not reach the command.
  set_nonblocking(out.read_end.get());
  set_nonblocking(err.read_end.get());
  const std::string mark = fmt::format("{}{}", mark_of(getpid()), ++started_);
  Running running(*this, start(command, call, mark, out.write_end.get(), err.write_end.get()),
                  mark);
  out.write_end.reset();
  err.write_end.reset();

  auto run = std::make_shared<Run>(reactor_, std::move(out.read_end), std::move(err.read_end),
                                   running.pidfd());
  reactor_.spawn(Run::collect_all(run, run->out, options_.max_output));
  reactor_.spawn(Run::collect_all(run, run->err, options_.max_output));
  const bool in_time = co_await wait_until(*run->exited, call.deadline);

  run->exited.reset();
  const ExitStatus status = running.end();
  run->over = true;
  run->collect(run->out, options_.max_output);
  run->collect(run->err, options_.max_output);
  run->out.interrupt();
  run->err.interrupt();
  if (run->too_long) {
    co_return Result::error(
        ErrorCode::handler_failed,
        fmt::format("the command's output exceeds the limit of {} bytes", options_.max_output));
  }
  if (!in_time) {
    co_return Result::error(ErrorCode::timed_out, "the command did not end in time");
  }
  co_return make_result(std::move(run->output), run->error_tail, status, options_);
}

}  // namespace handoff
