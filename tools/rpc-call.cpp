// SPDX-License-Identifier: MIT
// rpc-call: calls a method of a server from the command line.
#include <unistd.h>

#include <csignal>
#include <limits>
#include <optional>
#include <span>
#include <utility>

#include <handoff/os/error.hpp>

#include "async/signal_watcher.hpp"
#include "cli/option_values.hpp"
#include "cli/params_from_words.hpp"
#include "cli/shared_options.hpp"
#include "cli/tool.hpp"
#include "cli/tool_main.hpp"
#include "commands/call.hpp"
#include "os/program.hpp"
#include "os/signals.hpp"

namespace {

using handoff::ExitCode;
using handoff::Rendering;
using handoff::Tool;

/// Takes the address from the first word, or from RPC_ADDR if that is set and the word does not
/// look like an address. Returns the words that are left.
std::span<const std::string> take_address(std::span<const std::string> words,
                                          handoff::AddressList& address) {
  const bool is_named = !words.empty() && handoff::is_written_as_address(words[0]);
  if (const auto known = is_named ? std::nullopt : handoff::servers_of_environment()) {
    address = *known;
    return words;
  }
  if (words.empty()) { throw handoff::InvalidArgument("no ADDR (see rpc-call --help)"); }
  address = handoff::parse_servers(words[0]);
  return words.subspan(1);
}

handoff::CallOptions parse(Tool& tool) {
  handoff::CallOptions options;
  bool raw = false;
  bool pretty = false;
  bool compact = false;
  tool.describe(
      {"Call METHOD of the server at ADDR, and print the result.",
       {"rpc-call [options] ADDR METHOD [JSON | @FILE | KEY=TEXT KEY:=JSON... | -]",
        "rpc-call [options] ADDR --list"},
       {"rpc-call ./rpc.sock add a:=1 b:=2", "jq -c .rows[] in.json | rpc-call :8080 store -"}});
  tool.complete_words({{handoff::WordKind::server, handoff::WordKind::method}});
  auto& app = tool.app;
  tool.group("Calls");
  app.add_flag("--list", options.list, "Print the names of the methods, one per line");
  tool.add_duration("-t,--timeout", options.timeout, "Deadline of each call (default 60s)");
  handoff::add_number(tool, "--pipeline", "N", options.pipeline, 1, 1000000,
                      "With -: calls sent ahead of their replies (default 64)");
  app.add_flag("--progress", options.progress, "With -: show the progress on stderr (USR1: once)");
  tool.add_duration("--watch", options.watch, "Call again after each T, and show each result");
  handoff::add_numbers(tool, "--ok", "CODE", options.ok_codes, std::numeric_limits<int>::min(),
                       std::numeric_limits<int>::max(),
                       "An error with this code is success; repeatable");
  handoff::add_max_frame(tool, options.max_frame, "Longest reply (default 1MiB)");
  app.add_flag("--jsonrpc", options.json_rpc, "Speak JSON-RPC 2.0; JSON is an object or an array");
  tool.group("Connecting");
  tool.add_duration("--connect-timeout", options.connect_timeout,
                    "Deadline of connecting (default 10s)");
  handoff::add_number(
      tool, "--retry", "N", options.retries, 0, 1000000,
      "Try up to N more times if the server is unreachable or did not run the call");
  app.add_flag("--wait", options.wait, "Wait until the server is up, at most for --timeout");
  tool.group("Output");
  app.add_flag("-r,--raw", raw, "Print a string result without its quotes");
  auto* pretty_flag = app.add_flag("--pretty", pretty, "Indent (default on a terminal)");
  app.add_flag("--compact", compact, "One line (default elsewhere)")->excludes(pretty_flag);
  app.add_flag("--full", options.full, "Print the whole reply, even an error");
  const std::vector<std::string> words = tool.parse_words();

  const std::span<const std::string> rest = take_address(words, options.address);
  if (options.list) {
    if (!rest.empty()) { throw handoff::InvalidArgument("--list takes no METHOD"); }
  } else {
    if (rest.empty()) { throw handoff::InvalidArgument("no METHOD (see rpc-call --help)"); }
    options.method = rest[0];
    handoff::require_utf8("METHOD", options.method);
    const std::span<const std::string> params = rest.subspan(1);
    options.lines = params.size() == 1 && params[0] == "-";
    if (!options.lines) { options.params = handoff::params_from_words(params); }
  }
  const bool watches = options.watch > handoff::Duration::zero();
  if (options.progress && !options.lines) {
    throw handoff::InvalidArgument("--progress needs - in place of the params");
  }
  if (watches && (options.lines || options.list || options.json_rpc || options.retries > 0)) {
    throw handoff::InvalidArgument("--watch does not go with -, --list, --jsonrpc or --retry");
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

/// A command that this process has started ends with it, so signals end the process in order. USR1
/// asks for the progress.
std::vector<int> signals_of(const handoff::CallOptions& options) {
  std::vector<int> signals;
  if (options.address.has(handoff::Address::Kind::exec)) {
    signals = handoff::ending_signals({SIGTERM, SIGINT, SIGHUP});
  }
  if (options.lines) { signals.push_back(SIGUSR1); }
  return signals;
}

handoff::Task<void> obey(handoff::Reactor& reactor, const handoff::SignalMask& signals,
                         handoff::CallCommand& command) {
  return handoff::watch_signals(reactor, signals, [&](const handoff::ReceivedSignal& signal) {
    if (signal.number == SIGUSR1) { return command.show_progress(); }
    handoff::end_by_signal(signal.number);
    throw handoff::TimedOut("call: ended by a signal");
  });
}

ExitCode run(Tool& tool) {
  handoff::CallOptions options = parse(tool);
  const handoff::SignalMask signals(signals_of(options));  // outlives the command
  handoff::Reactor reactor;
  handoff::CallCommand command(reactor, std::move(options), tool.log);
  reactor.spawn(obey(reactor, signals, command));
  return reactor.run_for_result(command.run());
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::tool_main("rpc-call", argc, argv, run);
}
