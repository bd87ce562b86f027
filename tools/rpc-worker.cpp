// SPDX-License-Identifier: MIT
// rpc-worker: answers calls on the connections that it is given.
#include <fmt/format.h>

#include <cstdlib>

#include "cli/options.hpp"
#include "cli/tool_main.hpp"
#include "cluster/worker.hpp"
#include "os/error.hpp"
#include "rpc/command.hpp"

namespace {

using handoff::ExitCode;
using handoff::Tool;

struct Options {
  std::vector<handoff::Address> listen;
  bool stdio = false;
  std::vector<std::string> methods;
  handoff::CommandOptions command;
  handoff::WorkerOptions worker;
};

Options parse(Tool& tool) {
  Options options;
  handoff::SessionLimits& limits = options.worker.limits;
  auto& app = tool.app;
  tool.describe("Answer calls: on the channel that rpc-master gave it, alone (-l), or on --stdio.",
                "rpc-worker [-l ADDR]... [--stdio] [options]");
  add_listen_options(tool, options.listen, options.worker.allow_public);
  app.add_flag("--stdio", options.stdio, "Serve one connection on stdin and stdout");
  app.add_option("-m,--method", options.methods,
                 "Run `sh -c CMD` for each call: params on stdin, result on stdout; repeatable")
      ->type_name("NAME=CMD")
      ->allow_extra_args(false);
  app.add_option("--env", options.command.environment_names,
                 "Also hand this variable to commands; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_flag("--text", options.command.text, "A command's output that is no JSON is a string");
  app.add_option("-C,--concurrency", limits.concurrency,
                 "Calls that run at a time (default 64); 1 is the synchronous worker")
      ->check(CLI::Range(1, 1000000))
      ->type_name("N");
  app.add_option("--credits", options.worker.credits,
                 "Connections held at a time (default: what the descriptor limit allows)")
      ->check(CLI::Range(1, 10000000))
      ->type_name("N");
  app.add_option("--max-frame", limits.max_frame, "Longest body of a frame (default 1MiB)")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("BYTES");
  tool.add_duration("--timeout", limits.call_timeout, "Deadline of a call (default 30s; 0: none)");
  tool.add_duration("--idle-timeout", limits.idle_timeout,
                    "Close a connection that is idle for so long (default: never)");
  tool.add_duration("--frame-timeout", limits.frame_timeout,
                    "From a frame's first byte to its last (default 30s)");
  tool.add_duration("--write-timeout", limits.write_timeout,
                    "For a client to take some of its replies (default 30s)");
  tool.add_duration("--drain-timeout", options.worker.drain_timeout,
                    "Cut off what has not ended by then (default 30s)");
  tool.parse();
  tool.refuse_command();
  handoff::add_inherited_listeners(options.listen);
  options.command.max_output = limits.max_frame;
  return options;
}

void add_methods(handoff::Handlers& handlers, handoff::Commands& commands, const Options& options) {
  const char* number = std::getenv("HANDOFF_WORKER");
  handoff::add_built_in_methods(handlers, number == nullptr ? 0 : std::atoi(number));
  for (const std::string& method : options.methods) {
    const auto [name, command] = handoff::split_name_value(method, "NAME=CMD");
    handlers.add(name, commands.handler(command));
  }
}

/// The channel that a master has named in the environment, or -1.
int channel_number() {
  const char* number = std::getenv("HANDOFF_CHANNEL_FD");
  return number == nullptr ? -1 : std::atoi(number);
}

ExitCode run(Tool& tool) {
  const Options options = parse(tool);
  handoff::raise_descriptor_limit();
  handoff::ignore_sigpipe();
  handoff::adopt_orphans();
  const handoff::SignalMask signals{SIGTERM, SIGINT, SIGHUP};
  handoff::Reactor reactor;
  handoff::Commands commands(reactor, options.command);
  handoff::Handlers handlers;
  add_methods(handlers, commands, options);
  handoff::Worker worker(reactor, signals, handlers, options.worker, handoff::report_to(tool.log));
  if (options.stdio) {
    reactor.run(worker.run_on_stdio());
  } else if (!options.listen.empty()) {
    reactor.run(worker.run_alone(options.listen));
  } else if (const int channel = channel_number(); channel >= 0) {
    reactor.run(worker.run_on_channel(handoff::Fd(channel)));
  } else {
    throw handoff::InvalidArgument(
        "nothing to serve: give -l ADDR or --stdio, or start it with "
        "`rpc-master -- rpc-worker`");
  }
  if (worker.cut_off() == 0) return ExitCode::done;
  throw handoff::TimedOut(
      fmt::format("drain: {} cut off", handoff::counted(worker.cut_off(), "connection")));
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::tool_main("rpc-worker", argc, argv, run);
}
