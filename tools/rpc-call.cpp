// SPDX-License-Identifier: MIT
// rpc-call: calls a method of a server from the command line.
#include <unistd.h>

#include <csignal>
#include <limits>
#include <optional>
#include <utility>

#include "async/signal_watcher.hpp"
#include "cli/option_values.hpp"
#include "cli/params_from_words.hpp"
#include "cli/shared_options.hpp"
#include "cli/tool.hpp"
#include "cli/tool_main.hpp"
#include "commands/call.hpp"
#include "os/error.hpp"
#include "os/program.hpp"
#include "os/signals.hpp"

namespace {

using handoff::ExitCode;
using handoff::Rendering;
using handoff::Tool;

handoff::CallOptions parse(Tool& tool) {
  handoff::CallOptions options;
  bool raw = false;
  bool pretty = false;
  bool compact = false;
  tool.describe("Call METHOD of the server at ADDR, and print the result.",
                "rpc-call [options] ADDR METHOD [JSON | KEY=TEXT KEY:=JSON... | -]\n"
                "       rpc-call [options] ADDR --list");
  tool.complete_words({{handoff::WordKind::server, handoff::WordKind::method}});
  auto& app = tool.app;
  app.add_flag("--list", options.list, "Print the names of the methods, one a line");
  tool.add_duration("-t,--timeout", options.timeout, "Deadline of each call (default 60s)");
  tool.add_duration("--connect-timeout", options.connect_timeout,
                    "Deadline of connecting (default 10s)");
  handoff::add_number(
      tool, "--retry", "N", options.retries, 0, 1000000,
      "Try again so often when the server can't be reached or did not run the call");
  app.add_flag("--wait", options.wait, "Wait until the server is up, for as long as --timeout");
  app.add_flag("-r,--raw", raw, "Print a string result without its quotes");
  auto* pretty_flag = app.add_flag("--pretty", pretty, "Indent (default on a terminal)");
  app.add_flag("--compact", compact, "One line (default elsewhere)")->excludes(pretty_flag);
  app.add_flag("--full", options.full, "Print the whole reply, errors too");
  handoff::add_number(tool, "--pipeline", "N", options.pipeline, 1, 1000000,
                      "With -: calls sent ahead of their replies (default 64)");
  handoff::add_numbers(tool, "--ok", "CODE", options.ok_codes, std::numeric_limits<int>::min(),
                       std::numeric_limits<int>::max(),
                       "An error with this code is success; repeatable");
  handoff::add_max_frame(tool, options.max_frame, "Longest reply (default 1MiB)");
  app.add_flag("--jsonrpc", options.json_rpc, "Speak JSON-RPC 2.0; JSON is an object or an array");
  const std::vector<std::string> words = tool.parse_words();

  const std::size_t needed = options.list ? 1 : 2;
  if (words.empty()) { throw handoff::InvalidArgument("no ADDR (see rpc-call --help)"); }
  options.address = handoff::parse_server(words[0]);
  if (words.size() < needed) { throw handoff::InvalidArgument("no METHOD (see rpc-call --help)"); }
  if (options.list) {
    if (words.size() > 1) { throw handoff::InvalidArgument("--list takes no METHOD"); }
  } else {
    options.method = words[1];
    handoff::require_utf8("METHOD", options.method);
    const std::span<const std::string> params(words.begin() + 2, words.end());
    options.lines = params.size() == 1 && params[0] == "-";
    if (!options.lines) { options.params = handoff::params_from_words(params); }
  }
  const bool on_terminal = isatty(STDOUT_FILENO) == 1;
  if (on_terminal) { options.output = handoff::Output::terminal; }
  if (raw) {
    options.rendering = Rendering::raw;
  } else if (pretty || (!compact && !options.lines && on_terminal)) {
    options.rendering = Rendering::pretty;
  }
  return options;
}

/// A command that we have started ends with us: a signal to us alone ends us in order.
handoff::Task<void> end_at_signal(handoff::Reactor& reactor, const handoff::SignalMask& signals) {
  return handoff::watch_signals(reactor, signals, [](const handoff::ReceivedSignal& signal) {
    handoff::end_by_signal(signal.number);
    throw handoff::TimedOut("call: ended by a signal");
  });
}

ExitCode run(Tool& tool) {
  handoff::CallOptions options = parse(tool);
  std::optional<handoff::SignalMask> signals;  // outlives the command
  if (options.address.kind == handoff::Address::Kind::exec) {
    signals.emplace(handoff::ending_signals({SIGTERM, SIGINT, SIGHUP}));
  }
  handoff::Reactor reactor;
  handoff::CallCommand command(reactor, std::move(options), tool.log);
  if (signals) { reactor.spawn(end_at_signal(reactor, *signals)); }
  return reactor.run_for_result(command.run());
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::tool_main("rpc-call", argc, argv, run);
}
