// SPDX-License-Identifier: MIT
#include <fmt/format.h>

#include <csignal>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/cli/worker_main.hpp>
#include <handoff/os/error.hpp>

#include "cli/log_options.hpp"
#include "cli/log_relay.hpp"
#include "cli/shared_options.hpp"
#include "cli/stderr_log.hpp"
#include "cli/tool_main.hpp"
#include "cli/worker_methods.hpp"
#include "cli/worker_options.hpp"
#include "methods/method_log.hpp"
#include "os/signals.hpp"
#include "os/tree_guard.hpp"
#include "worker/worker.hpp"

namespace handoff {
namespace {

/// SIGHUP ends a worker that has no directories to list again.
std::vector<int> signals_of(const WorkerToolOptions& options) {
  if (options.worker.reloads) { return {SIGTERM, SIGINT, SIGHUP, SIGCHLD}; }
  return ending_signals({SIGTERM, SIGINT, SIGHUP, SIGCHLD});
}

/// Returns what logs the stderr of the processes behind methods, on any thread.
std::function<void(std::string_view, std::string_view)> log_stderr(LogRelay& relay,
                                                                   MethodLog& log) {
  return [&relay, &log](std::string_view method, std::string_view line) {
    relay.run([&log, method = std::string(method), line = std::string(line)] {
      log.write(method, line);
    });
  };
}

/// The workers of a master write to the same log.
void name_log(Tool& tool) {
  const std::optional<int> number = worker_number();
  if (number) { tool.log.set_name(fmt::format("{}[{}]", tool.app.get_name(), *number)); }
}

ExitCode run(Tool& tool, const AddMethods& add_own) {
  name_log(tool);
  WorkerToolOptions options = parse_worker_options(tool);
  tool.run_long(Orphans::adopt);
  const SignalMask signals(signals_of(options), SignalMask::Until::exit);
  Reactor reactor;
  const DropNotice notice(reactor, tool.log);
  MethodLog method_log(reactor, saying(report_to(tool.log), Severity::info));
  LogRelay relay(reactor, options.worker.threads, report_to(tool.log));
  options.process.log = log_stderr(relay, method_log);
  const std::unique_ptr<const CallLog> call_log = make_call_log(tool, relay);
  options.worker.calls = call_log.get();
  ChildRunner runner(options.process, report_to(tool.log));
  std::mutex adding;
  const auto make_methods = [&](Reactor& of) -> MakeMethodTable {
    const auto methods = std::make_shared<WorkerMethods>(of, runner, options, add_own, adding);
    return [methods] { return methods->make(); };
  };
  Worker worker(reactor, signals, make_methods, options.worker, report_to(tool.log));
  if (options.stdio) {
    reactor.run(worker.run_on_stdio());
  } else if (!options.listen.empty()) {
    reactor.run(worker.run_alone(options.listen));
  } else if (options.join) {
    reactor.run(worker.run_joined(*options.join, options.wait));
  } else if (const int channel = channel_number(); channel >= 0) {
    reactor.run(worker.run_on_channel(Fd(channel), take_inherited_listeners()));
  } else {
    throw InvalidArgument(
        "nothing to serve: give -l ADDR, -j PATH or --stdio, or start it with "
        "`rpc-master -- rpc-worker`");
  }
  if (!worker.readiness().is_ok()) {
    tool.log.error(worker.readiness().why());
    return ExitCode::negative;
  }
  if (worker.cut_off() == 0) { return ExitCode::done; }
  throw TimedOut(fmt::format("ended with {} cut off", counted(worker.cut_off(), "connection")));
}

}  // namespace

int worker_main(const char* name, int argc, char** argv, const AddMethods& add_own) {
  if (is_tree_guard(argc, argv)) { return guard_main(argv); }
  return tool_main(name, argc, argv, [&](Tool& tool) { return run(tool, add_own); });
}

}  // namespace handoff
