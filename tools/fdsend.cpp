// SPDX-License-Identifier: MIT
// fdsend: sends descriptors to another process.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <handoff/os/error.hpp>

#include "cli/tool.hpp"
#include "cli/tool_main.hpp"
#include "commands/rendezvous_options.hpp"
#include "commands/send.hpp"

namespace {

using handoff::ExitCode;
using handoff::OpenMode;
using handoff::Source;
using handoff::Tool;

/// Takes the process of each --listener from the --pid that has no descriptor.
void give_processes_to_listeners(std::vector<Source>& sources) {
  const auto is_process_alone = [](const Source& source) {
    return source.kind == Source::Kind::process && source.word.find(':') == std::string::npos;
  };
  const auto is_listener = [](const Source& source) {
    return source.kind == Source::Kind::listener;
  };
  const auto process = std::find_if(sources.begin(), sources.end(), is_process_alone);
  const bool has_listener = std::any_of(sources.begin(), sources.end(), is_listener);
  if (!has_listener) { return; }  // then PID alone is an error of --pid
  const auto processes = std::count_if(sources.begin(), sources.end(), is_process_alone);
  if (processes != 1) {
    throw handoff::InvalidArgument("--listener needs one --pid PID, without a descriptor");
  }
  int pid = 0;
  try {
    pid = handoff::parse_process(process->word);
  } catch (const handoff::InvalidArgument& error) {
    throw handoff::InvalidArgument(std::string("--pid ") + error.what());
  }
  sources.erase(process);
  for (Source& source : sources) {
    if (is_listener(source)) { source.pid = pid; }
  }
}

handoff::SendOptions parse(Tool& tool) {
  handoff::SendOptions options;
  int byte = 0;
  tool.describe({"Send descriptors (default: 0) to the process at the other end of SOCKET.",
                 {"fdsend [options] SOCKET [FD...]"},
                 {"fdsend --wait ./socket <file", "fdsend --tcp-listen :8080 ./socket"}});
  tool.group("What is sent");
  tool.complete_words({{handoff::WordKind::socket}});
  auto& app = tool.app;
  const std::map<std::string, Source::Kind> kinds = {{"-o", Source::Kind::file},
                                                     {"--tcp-listen", Source::Kind::tcp_listen},
                                                     {"--tcp-connect", Source::Kind::tcp_connect},
                                                     {"--pid", Source::Kind::process},
                                                     {"--listener", Source::Kind::listener}};
  handoff::add_words(app, "-o,--open", "Open this file, then send it; repeatable", "FILE");
  tool.complete_value(app.get_option("--open"), handoff::WordKind::file);
  handoff::add_words(app, "--tcp-listen", "Listen on ADDR, then send the listener", "ADDR");
  app.add_flag("--public", options.allow_public, "Allow a listener that is not loopback");
  handoff::add_words(app, "--tcp-connect", "Connect to ADDR, then send the connection", "ADDR");
  handoff::add_words(app, "--pid", "Take descriptor FD of the running process PID", "PID:FD");
  handoff::add_words(app, "--listener", "With --pid PID: take its listener at this address",
                     "ADDR");
  handoff::add_choice(tool, "--open-mode", "MODE", options.open_mode,
                      {{"read", OpenMode::read},
                       {"write", OpenMode::write},
                       {"append", OpenMode::append},
                       {"read-write", OpenMode::read_write}},
                      "Open files to: read (default), write, append, read-write");
  app.add_option("-n,--name", options.names, "A name for each descriptor, in order; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false);
  handoff::add_number(tool, "--byte", "N", byte, 0, 255,
                      "The byte of a message without names (default 0)");
  app.add_flag("--ack", options.confirm, "Succeed only if the receiver confirms that it has them");
  tool.group("Meeting the receiver");
  auto* listen = app.add_flag("-l,--listen", options.rendezvous.listen,
                              "Listen on SOCKET instead of connecting to it");
  app.add_flag("--keep", options.keep, "With -l: send to every process that connects")
      ->needs(listen);
  app.add_flag("--wait", options.rendezvous.wait, "Wait until a process listens on SOCKET")
      ->excludes(listen);
  handoff::add_rendezvous_options(tool, options.rendezvous);
  const std::vector<std::string> words = tool.parse_words();

  if (words.empty()) { throw handoff::InvalidArgument("no SOCKET (see fdsend --help)"); }
  options.rendezvous.socket = handoff::parse_socket(words[0], STDOUT_FILENO);
  options.byte = static_cast<char>(byte);
  for (std::size_t i = 1; i < words.size(); ++i) {
    options.sources.push_back({Source::Kind::inherited, words[i], 0});
  }
  // The descriptors of options follow, in the order of the command line.
  std::map<const CLI::Option*, std::size_t> used;
  for (const CLI::Option* option : app.parse_order()) {
    for (const auto& [name, kind] : kinds) {
      if (option->check_name(name)) {
        options.sources.push_back({kind, option->results()[used[option]++], 0});
      }
    }
  }
  give_processes_to_listeners(options.sources);
  return options;
}

ExitCode run(Tool& tool) {
  std::optional<handoff::SignalMask> signals;  // outlives what is given up when a signal comes
  handoff::Reactor reactor;
  const handoff::DropNotice notice(reactor, tool.log);
  handoff::SendOptions options = parse(tool);
  if (options.keep) { tool.run_long(handoff::Orphans::leave); }
  handoff::SendCommand command(reactor, std::move(options), tool.log);
  reactor.run(command.open_sources());
  signals.emplace(handoff::ending_signals({SIGTERM, SIGINT, SIGHUP}));
  return reactor.run_for_result(command.run(*signals));
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::tool_main("fdsend", argc, argv, run);
}
