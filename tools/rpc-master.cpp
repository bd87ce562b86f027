// SPDX-License-Identifier: MIT
// rpc-master: accepts connections and passes each of them to one of its workers.
#include <fmt/format.h>
#include <malloc.h>

#include <memory>
#include <set>
#include <string>
#include <thread>

#include <handoff/os/error.hpp>

#include "cli/log_options.hpp"
#include "cli/log_relay.hpp"
#include "cli/option_values.hpp"
#include "cli/shared_options.hpp"
#include "cli/stderr_log.hpp"
#include "cli/tool.hpp"
#include "cli/tool_main.hpp"
#include "master/dry_run.hpp"
#include "master/master.hpp"
#include "os/program_path.hpp"
#include "os/tree_guard.hpp"

namespace {

using handoff::ExitCode;
using handoff::Tool;

/// The group of the options that need --pass queue.
constexpr const char* kQueueOptions = "With --pass queue";

void refuse_queue_options(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_group() != kQueueOptions) { continue; }
    const std::string name = option->get_name();
    const bool is_ours =
        name == "--idempotent" || name == "--queue-limit" || name == "--io-threads";
    throw handoff::InvalidArgument(
        fmt::format("{} is for --pass queue{}", name,
                    is_ours ? "" : "; otherwise workers serve the clients: give it to rpc-worker"));
  }
}

/// Throws if two listeners would have the same address.
void refuse_twice(const handoff::MasterOptions& options) {
  std::set<std::string> seen;
  const auto add = [&seen](const handoff::Address& address) {
    const bool chosen = address.text.ends_with(":0");  // a free port each
    if (!chosen && !seen.insert(address.text).second) {
      throw handoff::InvalidArgument(
          fmt::format("{} is named twice: an address can have only one listener", address.text));
    }
  };
  for (const handoff::Address& address : options.listen) { add(address); }
  if (options.join) { add(*options.join); }
  if (options.control) { add(*options.control); }
}

/// What the command line asks for.
enum class Task { serve, dry_run };

handoff::MasterOptions parse(Tool& tool, Task& task) {
  handoff::MasterOptions options;
  handoff::SupervisorOptions& supervisor = options.supervisor;
  handoff::ClientSessions::Options& queue = options.queue;
  std::vector<std::string> idempotent;
  options.workers = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  auto& app = tool.app;
  tool.describe({"Accept connections and pass them to workers; supervise and replace the workers.",
                 {"rpc-master [-l ADDR]... [-n N] [options] -- COMMAND [ARG...]",
                  "rpc-master [-l ADDR]... [-j PATH] [options]"},
                 {"rpc-master -l ./rpc.sock -- rpc-worker -m upper='tr a-z A-Z'",
                  "rpc-master -l :8080 -n 4 -c ./control.sock -p queue -- rpc-worker -C 1"}});
  tool.group("Serving");
  add_listen_options(tool, options.listen, options.allow_public);
  handoff::add_choice(tool, "-p,--pass", "WHAT", options.pass,
                      {{"connection", handoff::Pass::connection},
                       {"listener", handoff::Pass::listener},
                       {"queue", handoff::Pass::queue}},
                      "What workers are given: connections (default), the listener or a queue");
  handoff::add_choice(
      tool, "-b,--balance", "HOW", options.balance,
      {{"round-robin", handoff::Balance::round_robin},
       {"least", handoff::Balance::least},
       {"hash", handoff::Balance::hash}},
      "Which worker gets a connection: round-robin (default), least or hash (by address)");
  handoff::add_number(tool, "--max-connections", "N", options.max_connections, 1, 100000000,
                      "Accept no more than N connections at a time");
  tool.add_duration("--lame-duck", options.lame_duck,
                    "At TERM: for T, end each connection after its next reply (default 0)");
  tool.group("Workers");
  handoff::add_number(tool, "-n,--workers", "N", options.workers, 0, 4096,
                      "Processes of COMMAND to run (default: one per core)");
  handoff::add_socket_name(tool, "-j,--join", options.join,
                           "Let workers join at this named socket");
  handoff::add_choice(tool, "--handshake", "WHAT", supervisor.handshake,
                      {{"full", handoff::Handshake::full}, {"none", handoff::Handshake::none}},
                      "full (default), or none: only a byte with each connection");
  tool.add_duration("--ready-timeout", supervisor.ready_timeout,
                    "Kill a worker that is not ready after T (default 10s)");
  tool.add_duration("--drain-timeout", supervisor.drain_timeout,
                    "Kill a worker that is still draining after T (default 30s)");
  tool.add_duration("--hang-timeout", supervisor.hang_timeout,
                    "Kill a worker that does not answer for T (default 60s; 0: never)");
  tool.add_value(
      "--backoff", "MIN:MAX",
      [&supervisor](const std::string& text) {
        std::tie(supervisor.backoff_min, supervisor.backoff_max) =
            handoff::parse_duration_range(text);
      },
      "Pause before a worker that died young is started again (default 100ms:10s)");
  tool.group(kQueueOptions);
  app.add_option("--idempotent", idempotent,
                 "Give calls of this method to another worker if theirs dies; repeatable")
      ->type_name("METHOD")
      ->allow_extra_args(false);
  handoff::add_number(tool, "--queue-limit", "N", queue.queue_limit, 1, 1000000,
                      "Requests that wait or run at a time (default 1024)");
  handoff::add_number(tool, "--io-threads", "N", queue.io_threads, 1, 1024,
                      "Threads that serve clients (default 1: the main one)");
  handoff::add_session_options(tool, queue.limits);
  handoff::add_log_calls(tool);
  tool.group("Management");
  handoff::add_socket_name(tool, "-c,--control", options.control,
                           "Named socket with the master's own methods");

  handoff::add_allowed_uids(
      tool, options.allowed_uids,
      "Also let USER join, control, or connect to an abstract name; repeatable");
  tool.complete_value(
      app.add_option("--pidfile", options.pidfile, "Write the process id to this file, once ready")
          ->type_name("PATH"),
      handoff::WordKind::file);
  app.add_flag_callback(
      "--dry-run", [&task] { task = Task::dry_run; },
      "Check all that a start needs, and start nothing");
  tool.group("Log");
  handoff::add_log_time(tool);
  tool.complete_words({{}, handoff::WordKind::text, handoff::WordKind::command});
  tool.parse(": the workers' command goes after --");

  for (const std::string& method : idempotent) { handoff::require_utf8("--idempotent", method); }
  queue.idempotent.insert(idempotent.begin(), idempotent.end());
  if (options.pass != handoff::Pass::queue) { refuse_queue_options(app); }
  handoff::add_inherited_listeners(options.listen);
  if (options.listen.empty()) { options.listen = {handoff::Address::parse("127.0.0.1:8080")}; }
  refuse_twice(options);
  supervisor.command = tool.after_dashes;
  if (supervisor.command.empty()) {
    if (!options.join) {
      throw handoff::InvalidArgument(
          "no command for the workers; write it after --, as in "
          "`rpc-master -- rpc-worker`, or let them join by --join PATH");
    }
    if (app.count("--workers") > 0 && options.workers > 0) {
      throw handoff::InvalidArgument("--workers needs a command after --");
    }
    options.workers = 0;
  } else if (options.workers == 0 && !options.join) {
    throw handoff::InvalidArgument("--workers 0 needs --join PATH");
  }
  if (options.pass != handoff::Pass::connection && app.count("--balance") > 0) {
    throw handoff::InvalidArgument(
        "--balance is for --pass connection: otherwise the master chooses no worker");
  }
  if (options.pass == handoff::Pass::listener && options.max_connections > 0) {
    throw handoff::InvalidArgument(
        "--max-connections is not for --pass listener, where workers accept: see --credits of "
        "rpc-worker(1)");
  }
  if (options.pass == handoff::Pass::queue && supervisor.handshake == handoff::Handshake::none) {
    throw handoff::InvalidArgument(
        "--pass queue needs the full handshake: without it workers cannot be given the queue");
  }
  if (options.balance == handoff::Balance::least &&
      supervisor.handshake == handoff::Handshake::none) {
    throw handoff::InvalidArgument(
        "--balance least needs the full handshake: without it "
        "workers do not report the end of a connection");
  }
  if (options.max_connections > 0 && supervisor.handshake == handoff::Handshake::none) {
    throw handoff::InvalidArgument(
        "--max-connections needs the full handshake: without it "
        "workers do not report the end of a connection");
  }
  return options;
}

/// Runs this master to its end. Returns what was cut off then, as a line for the log, and in
/// `original` what this process still has to do if another master serves by then.
std::string serve(Tool& tool, const handoff::SignalMask& signals, handoff::MasterOptions options,
                  std::unique_ptr<handoff::OriginalProcess>& original) {
  handoff::Reactor reactor;
  const handoff::DropNotice notice(reactor, tool.log);
  handoff::LogRelay relay(reactor, options.queue.io_threads, handoff::report_to(tool.log));
  const std::unique_ptr<const handoff::CallLog> call_log = handoff::make_call_log(tool, relay);
  options.queue.calls = call_log.get();
  handoff::Master master(reactor, signals, std::move(options), handoff::report_to(tool.log));
  const auto cut_off = reactor.run_for_result(master.run());
  original = master.leave();
  if (cut_off.workers == 0 && cut_off.connections == 0) { return ""; }
  return fmt::format("ended with {} cut off and {} killed",
                     handoff::counted(cut_off.connections, "connection"),
                     handoff::counted(cut_off.workers, "worker"));
}

/// Stays as the original process until the master that serves has ended, and returns its status. If
/// an upgrade has cut something off, the log says so; the status does only if the server was being
/// stopped by then.
ExitCode stand_in(Tool& tool, const handoff::SignalMask& signals,
                  handoff::OriginalProcess& original, const std::string& problem) {
  malloc_trim(0);
  const bool cut_off_by_stop = !problem.empty() && original.told_to_stop();
  if (!problem.empty()) { tool.log.error(problem); }
  const auto status = original.run(signals);
  if (!status) { return ExitCode::failed; }
  // A shell reports the end by a signal in the same way.
  if (status->signal != 0) { return static_cast<ExitCode>(128 + status->signal); }
  if (status->code == 0 && cut_off_by_stop) { return ExitCode::timed_out; }
  return static_cast<ExitCode>(status->code);
}

ExitCode say_what_would_be(Tool& tool, const handoff::MasterOptions& options) {
  tool.run_long(handoff::Orphans::leave);
  const handoff::DryRun dry = handoff::dry_run(options);
  for (const std::string& line : dry.in_use) { tool.log.info(line); }
  tool.log.info(dry.summary);
  return ExitCode::done;
}

ExitCode run(Tool& tool) {
  Task task = Task::serve;
  handoff::MasterOptions options = parse(tool, task);
  if (task == Task::dry_run) { return say_what_would_be(tool, options); }
  options.successor.program = handoff::own_program(tool.argv.front());
  options.successor.argv = tool.argv;
  // The new master waits for its workers as long as this one does for its own.
  options.successor.ready_timeout = 2 * options.supervisor.ready_timeout;
  tool.run_long(handoff::Orphans::adopt);
  const handoff::SignalMask signals(
      {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGCHLD},
      handoff::SignalMask::Until::exit);
  std::unique_ptr<handoff::OriginalProcess> original;
  const std::string problem = serve(tool, signals, std::move(options), original);
  if (original) { return stand_in(tool, signals, *original, problem); }
  if (problem.empty()) { return ExitCode::done; }
  throw handoff::TimedOut(problem);
}

}  // namespace

int main(int argc, char** argv) {
  if (handoff::is_tree_guard(argc, argv)) { return handoff::guard_main(argv); }
  return handoff::tool_main("rpc-master", argc, argv, run);
}
