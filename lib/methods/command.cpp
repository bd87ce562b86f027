// SPDX-License-Identifier: MIT
#include "methods/command.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include <handoff/async/fd_watcher.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/os/error.hpp>
#include <handoff/wire/json_text.hpp>

#include "methods/call_arguments.hpp"
#include "methods/output_result.hpp"
#include "methods/stderr_lines.hpp"
#include "os/environment.hpp"
#include "os/sealed_memory.hpp"

namespace handoff {
namespace {

/// A running command: this process's ends of its pipes, and what has arrived through them.
struct Run {
  Run(Reactor& reactor, Fd out_end, Fd err_end, int pidfd, MemoryBudget& memory)
      : out(reactor, std::move(out_end), Stream::Kind::nonblocking),
        err(reactor, std::move(err_end), Stream::Kind::nonblocking),
        exited(std::in_place, reactor, pidfd),
        held(memory) {}

  Stream out;
  Stream err;
  std::optional<FdWatcher> exited;  ///< exists until the command is reaped
  std::string output;
  MemoryBudget::Share held;  ///< counts `output`
  std::string error_tail;
  std::size_t error_size = 0;     ///< bytes of stderr, of which error_tail has the last
  std::optional<Result> failure;  ///< why the output cannot be used, and is not collected any more
  bool over = false;

  /// How a read went: something was read, nothing is there now, or nothing more is to be read.
  enum class Read : std::uint8_t { some, none, end };

  Read collect(Stream& stream, std::size_t max_output);
  void collect_rest(Stream& stream, std::size_t max_output);
  static Task<void> collect_all(std::shared_ptr<Run> run, Reactor& reactor, Stream& stream,
                                std::size_t max_output);
  void log_errors(const StderrLines::Say& log) const;

  /// Ends the coroutines that collect. The pidfd may be closed afterwards.
  void stop();
};

/// Reads once. Output that is too long is a failure.
Run::Read Run::collect(Stream& stream, std::size_t max_output) {
  std::array<char, 16 * 1024> buffer;
  const IoResult result = stream.try_read(buffer);
  if (result.outcome == IoResult::Outcome::would_block) { return Read::none; }
  if (!result.done()) { return Read::end; }
  const std::string_view bytes(buffer.data(), result.size);
  if (&stream == &err) {
    append_to_tail(error_tail, bytes);
    error_size += bytes.size();
  } else if (output.size() + bytes.size() > max_output) {
    failure = Result::error(
        ErrorCode::handler_failed,
        fmt::format("the command's output exceeds the limit of {} bytes", max_output));
    return Read::end;
  } else {
    output.append(bytes);
    held.set(output.size());
  }
  return Read::some;
}

/// Reads what the command has left in the pipe.
void Run::collect_rest(Stream& stream, std::size_t max_output) {
  while (collect(stream, max_output) == Read::some) {}
}

/// Collects until the pipe's end or the command's. The run is shared, because the call may be
/// dropped before the pipe ends. A command that writes without end does not keep the reactor from
/// the rest.
// The stream is a member of `run`, and the reactor runs this.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> Run::collect_all(std::shared_ptr<Run> run, Reactor& reactor, Stream& stream,
                            std::size_t max_output) {
  try {
    while (!run->over) {
      const Read read = run->collect(stream, max_output);
      if (read == Read::end) { break; }
      if (read == Read::some) {
        co_await reactor.yield();
      } else {
        co_await stream.readable();
      }
    }
  } catch (const std::exception& error) {
    run->failure = Result::error(ErrorCode::internal_error, error.what());
  }
  if (run->failure && run->exited) { run->exited->interrupt(); }
}

void Run::log_errors(const StderrLines::Say& log) const {
  if (!log || error_tail.empty()) { return; }
  if (error_size > error_tail.size()) {
    log(fmt::format("({} bytes before this are left out)", error_size - error_tail.size()));
  }
  StderrLines lines(log);
  lines.add(error_tail);
  lines.finish();
}

void Run::stop() {
  over = true;
  exited.reset();
  out.interrupt();
  err.interrupt();
}

/// Stops a run when its call is over or is dropped, before the process and its pidfd are gone.
class StopAtEnd {
 public:
  explicit StopAtEnd(Run& run) : run_(run) {}
  StopAtEnd(const StopAtEnd&) = delete;
  StopAtEnd& operator=(const StopAtEnd&) = delete;
  ~StopAtEnd() { run_.stop(); }

 private:
  Run& run_;
};

/// Returns false if the deadline or an interruption came first.
// The caller shares the run that has the watcher, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<bool> wait_until(FdWatcher& watcher, TimePoint when) {
  WaitTimeout deadline(watcher, when);
  co_return co_await watcher.readable();
}

/// Appends the words to the program's arguments. For a shell, the word after the command is $0,
/// here the method's name, and the words after that are $1 and so on.
Program with_arguments(Program program, const std::string& method, std::vector<std::string> words,
                       ParamsForm form) {
  if (form == ParamsForm::arguments && program.kind == Program::Kind::shell) {
    program.argv.push_back(method);
  }
  for (std::string& word : words) { program.argv.push_back(std::move(word)); }
  return program;
}

/// Runs the program for one call. The handler keeps `program`; see command_handler.
// The reactor and the runner outlive the calls of the worker.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> run_command(Reactor& reactor, ChildRunner& runner, const Program& program, Call call) {
  const ProcessOptions& options = runner.options();
  CallArguments arguments;
  if (options.params == ParamsForm::arguments) {
    Status status = read_call_arguments(call.params, arguments);
    if (!status.is_ok()) { co_return Result::error(ErrorCode::invalid_params, status.why()); }
    call.params = {};
  }
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  // The ends kept here are open files of their own: the command does not share the flag.
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
  call.params = {};  // the file has the params now
  Environment variables = std::move(arguments.variables);
  variables.push_back(assignment(variable::kMethod, call.method));
  variables.push_back(assignment(variable::kPeer, call.peer));
  variables.push_back(assignment(variable::kId, call.id));
  const std::unique_ptr<ChildRunner::Child> child =
      runner.start(with_arguments(program, call.method, std::move(arguments.words), options.params),
                   variables, input.get(), out.write_end.get(), err.write_end.get());
  out.write_end.reset();
  err.write_end.reset();

  auto run = std::make_shared<Run>(reactor, std::move(out.read_end), std::move(err.read_end),
                                   child->pidfd(), *options.memory);
  const StopAtEnd stop_at_end(*run);
  reactor.spawn(Run::collect_all(run, reactor, run->out, options.max_output));
  reactor.spawn(Run::collect_all(run, reactor, run->err, options.max_output));
  const bool in_time = co_await wait_until(*run->exited, call.deadline);

  run->stop();
  const ExitStatus status = child->end();
  run->collect_rest(run->out, options.max_output);
  run->collect_rest(run->err, options.max_output);
  if (run->failure) { co_return std::move(*run->failure); }
  if (!in_time) {
    co_return Result::error(ErrorCode::timed_out, "the command did not end in time",
                            stderr_data(run->error_tail));
  }
  if (!status.success()) { co_return failure_of_process(status, run->error_tail); }
  run->log_errors(runner.log_of(call.method));
  std::string output = trimmed(std::move(run->output));
  if (output.empty() && !options.text) { co_return Result::success("null"); }
  co_return result_of_output(std::move(output), options.form(), "the command's output");
}

}  // namespace

Handler command_handler(Reactor& reactor, ChildRunner& runner, Program program) {
  return [&reactor, &runner, program = std::move(program)](Call call) {
    return run_command(reactor, runner, program, std::move(call));
  };
}

}  // namespace handoff
