// SPDX-License-Identifier: MIT
#include "methods/command.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <memory>
#include <optional>

#include "async/stream.hpp"
#include "os/error.hpp"
#include "os/memory.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

/// A running command: its ends of the pipes, and what came through them so far.
struct Run {
  Run(Reactor& reactor, Fd out_end, Fd err_end, int pidfd, MemoryBudget& memory)
      : out(reactor, std::move(out_end), Stream::Kind::nonblocking),
        err(reactor, std::move(err_end), Stream::Kind::nonblocking),
        exited(std::in_place, reactor, pidfd),
        held(memory) {}

  Stream out;
  Stream err;
  std::optional<Readiness> exited;  ///< until the command is reaped
  std::string output;
  MemoryBudget::Share held;  ///< counts `output`
  std::string error_tail;
  bool too_long = false;
  std::string problem;  ///< why its output can't be collected; mostly empty
  bool over = false;

  bool collect(Stream& stream, std::size_t max_output);
  static Task<void> collect_all(std::shared_ptr<Run> run, Stream& stream, std::size_t max_output);

  /// Ends the coroutines that collect. The pidfd may be closed afterwards.
  void stop();
};

/// Takes what is in the pipe; false when nothing more can come.
bool Run::collect(Stream& stream, std::size_t max_output) {
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
      held.set(output.size());
    }
  }
}

/// Collects until the pipe's end or the command's. `run` is shared, for it may be left before the
/// pipe ends.
Task<void> Run::collect_all(std::shared_ptr<Run> run, Stream& stream, std::size_t max_output) {
  try {
    while (!run->over && run->collect(stream, max_output)) co_await stream.readable();
  } catch (const std::exception& error) {
    run->problem = error.what();
  }
  const bool is_over = run->too_long || !run->problem.empty();
  if (is_over && run->exited) run->exited->interrupt();
}

void Run::stop() {
  over = true;
  exited.reset();
  out.interrupt();
  err.interrupt();
}

/// Stops a run when its call is over or is dropped, before the process and its pidfd go.
class StopAtEnd {
 public:
  explicit StopAtEnd(Run& run) : run_(run) {}
  StopAtEnd(const StopAtEnd&) = delete;
  StopAtEnd& operator=(const StopAtEnd&) = delete;
  ~StopAtEnd() { run_.stop(); }

 private:
  Run& run_;
};

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

/// The handler's own frame keeps `program`; see command_handler.
Task<Result> run_command(Reactor& reactor, Processes& processes, const Program& program,
                         Call call) {
  const ProcessOptions& options = processes.options();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  // Our ends are open files of their own: the flag does not reach the command.
  set_nonblocking(out.read_end.get());
  set_nonblocking(err.read_end.get());
  Fd input;
  try {
    input = make_input_file("params", call.params);
  } catch (const SystemError& error) {
    co_return Result::error(
        ErrorCode::internal_error,
        fmt::format("cannot give {} bytes of params to the command: {}{}", call.params.size(),
                    error_text(error.error_number()),
                    error.error_number() == EFBIG ? " (the server's `ulimit -f` is too low)" : ""));
  }
  call.params = {};  // the file has them
  Processes::Process process = processes.start(
      program, {"RPC_METHOD=" + call.method, "RPC_PEER=" + call.peer, "RPC_ID=" + call.id},
      input.get(), out.write_end.get(), err.write_end.get());
  out.write_end.reset();
  err.write_end.reset();

  auto run = std::make_shared<Run>(reactor, std::move(out.read_end), std::move(err.read_end),
                                   process.pidfd(), *options.memory);
  const StopAtEnd stop_at_end(*run);
  reactor.spawn(Run::collect_all(run, run->out, options.max_output));
  reactor.spawn(Run::collect_all(run, run->err, options.max_output));
  const bool in_time = co_await wait_until(*run->exited, call.deadline);

  run->stop();
  const ExitStatus status = process.end();
  run->collect(run->out, options.max_output);
  run->collect(run->err, options.max_output);
  if (!run->problem.empty()) co_return Result::error(ErrorCode::internal_error, run->problem);
  if (run->too_long) {
    co_return Result::error(
        ErrorCode::handler_failed,
        fmt::format("the command's output exceeds the limit of {} bytes", options.max_output));
  }
  if (!in_time) {
    co_return Result::error(ErrorCode::timed_out, "the command did not end in time",
                            stderr_data(run->error_tail));
  }
  if (!status.success()) co_return failure_of_process(status, run->error_tail);
  std::string output = trimmed(std::move(run->output));
  if (output.empty() && !options.text) co_return Result::success("null");
  co_return result_of_output(std::move(output), options.text, "the command's output");
}

}  // namespace

std::string stderr_data(const std::string& error_tail) {
  const std::string text = trimmed(error_tail);
  return text.empty() ? "" : R"({"stderr":)" + quote_json(text) + "}";
}

Result failure_of_process(const ExitStatus& status, const std::string& error_tail) {
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

Result result_of_output(std::string output, bool text, std::string_view what) {
  const auto problem = json_problem(output);
  if (!problem) return Result::success(std::move(output));
  if (text) return Result::success(quote_json(output));
  return Result::error(
      ErrorCode::handler_failed,
      fmt::format("{} is not JSON: {} (rpc-worker --text takes it as a string)", what, *problem));
}

Handler command_handler(Reactor& reactor, Processes& processes, Program program) {
  return [&reactor, &processes, program = std::move(program)](Call call) {
    return run_command(reactor, processes, program, std::move(call));
  };
}

}  // namespace handoff
