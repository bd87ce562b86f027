// SPDX-License-Identifier: MIT
// fdrecv: receives descriptors from another process, and runs a command with them.
#include <unistd.h>

#include <csignal>
#include <set>

#include <handoff/os/error.hpp>

#include "cli/tool.hpp"
#include "cli/tool_main.hpp"
#include "commands/exec_received.hpp"
#include "commands/receive.hpp"
#include "commands/rendezvous_options.hpp"
#include "os/environment.hpp"
#include "os/parse_number.hpp"
#include "os/socket.hpp"

namespace {

using handoff::ExitCode;
using handoff::ReceiveOptions;
using handoff::Tool;
using Placement = handoff::ReceiveOptions::Placement;

/// Returns the word SOCKET, which may be left out if rpc-master has named a channel in the
/// environment.
std::string socket_word(const std::vector<std::string>& words) {
  if (words.size() > 1) {
    throw handoff::InvalidArgument("more than one SOCKET; a command goes after --");
  }
  if (!words.empty()) { return words[0]; }
  if (const auto channel = handoff::read_variable(handoff::variable::kChannelFd)) {
    const auto number = handoff::parse_number<int>(*channel);
    if (number && handoff::socket_type(*number) == SOCK_SEQPACKET) {
      throw handoff::InvalidArgument(
          "HANDOFF_CHANNEL_FD " + *channel +
          ": a channel of the full handshake; give rpc-master --handshake none");
    }
    return "fd:" + *channel;
  }
  throw handoff::InvalidArgument("no SOCKET (see fdrecv --help)");
}

ReceiveOptions parse(Tool& tool) {
  ReceiveOptions options;
  bool stdio = false;
  bool only_stdin = false;
  bool listen_fds = false;
  bool connect = false;
  tool.describe({"Receive a descriptor: copy it to stdout, or run COMMAND with it.",
                 {"fdrecv [options] [SOCKET]", "fdrecv [options] [SOCKET] -- COMMAND [ARG...]"},
                 {"fdrecv ./socket >copy", "fdrecv --keep ./socket -- cat"}});
  tool.complete_words(
      {{handoff::WordKind::socket}, handoff::WordKind::text, handoff::WordKind::command});
  auto& app = tool.app;
  tool.group("Meeting the sender");
  app.add_flag("-c,--connect", connect, "Connect to SOCKET instead of listening on it");
  app.add_flag("--wait", options.rendezvous.wait, "With -c: wait until a process listens on SOCKET")
      ->needs("--connect");
  handoff::add_rendezvous_options(tool, options.rendezvous);
  tool.group("Placing what is received");
  auto* stdio_flag =
      app.add_flag("--stdio", stdio, "The descriptor becomes 0 and 1 of COMMAND (default)");
  auto* stdin_flag = app.add_flag("--stdin", only_stdin, "The descriptor becomes 0 of COMMAND");
  auto* fd_option =
      handoff::add_numbers(tool, "--fd", "N", options.numbers, 0, 1023,
                           "The descriptor becomes N of COMMAND; repeatable, in order");
  auto* listen_flag = app.add_flag("--listen-fds", listen_fds,
                                   "All descriptors become those from 3 on, with LISTEN_FDS set");
  auto* json_flag =
      app.add_flag("--json", options.json, "Describe what is received as JSON, and close it");
  for (auto* one : {stdio_flag, stdin_flag, fd_option, listen_flag, json_flag}) {
    for (auto* other : {stdio_flag, stdin_flag, fd_option, listen_flag, json_flag}) {
      if (one != other) { one->excludes(other); }
    }
  }
  tool.group("Receiving more than once");
  auto* keep =
      app.add_flag("-k,--keep", options.keep, "Keep receiving: start COMMAND for each message");
  handoff::add_number(tool, "--count", "N", options.count, 1, 1000000000,
                      "With -k: end after N messages")
      ->needs(keep);
  handoff::add_number(tool, "--max-processes", "N", options.max_processes, 1, 100000,
                      "With -k: commands at a time (default 256)")
      ->needs(keep);
  const std::vector<std::string> words = tool.parse_positionals();

  options.rendezvous.listen = !connect;
  options.rendezvous.socket = handoff::parse_socket(socket_word(words), STDIN_FILENO);
  options.command = tool.after_dashes;
  if (!options.numbers.empty()) { options.placement = Placement::numbers; }
  if (std::set(options.numbers.begin(), options.numbers.end()).size() < options.numbers.size()) {
    throw handoff::InvalidArgument("--fd names a descriptor twice");
  }
  if (only_stdin) { options.placement = Placement::stdin_only; }
  if (listen_fds) { options.placement = Placement::listen_fds; }
  const bool places = options.placement != Placement::stdio || stdio || options.keep;
  if (options.command.empty() && (places || tool.has_dashes) && !options.json) {
    throw handoff::InvalidArgument("no COMMAND after --");
  }
  if (!options.command.empty() && options.json) {
    throw handoff::InvalidArgument("--json runs no COMMAND");
  }
  return options;
}

ExitCode run(Tool& tool) {
  const ReceiveOptions options = parse(tool);
  if (options.keep) { tool.run_long(handoff::Orphans::leave); }
  handoff::Received received;
  {
    const handoff::SignalMask signals(handoff::ending_signals({SIGTERM, SIGINT, SIGHUP}));
    handoff::Reactor reactor;
    const handoff::DropNotice notice(reactor, tool.log);
    handoff::ReceiveCommand command(reactor, signals, options, tool.log);
    received = reactor.run_for_result(command.run());
  }
  return hand_on(options, received);
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::tool_main("fdrecv", argc, argv, run);
}
