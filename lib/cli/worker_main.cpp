// SPDX-License-Identifier: MIT
#include "cli/worker_main.hpp"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "cli/options.hpp"
#include "cli/tool_main.hpp"
#include "methods/command.hpp"
#include "methods/coprocess.hpp"
#include "methods/method_directory.hpp"
#include "methods/upstream.hpp"
#include "os/environment.hpp"
#include "os/error.hpp"
#include "os/parse_number.hpp"
#include "rpc/builtin_methods.hpp"
#include "worker/worker.hpp"

namespace handoff {
namespace {

struct Options {
  std::vector<Address> listen;
  bool stdio = false;
  std::optional<Address> join;
  Duration wait{};  ///< for the master that is joined
  std::vector<std::string> methods;
  std::vector<std::string> coprocesses;
  std::size_t pool = 1;
  std::vector<std::string> directories;
  std::vector<std::string> forwards;
  ProcessOptions process;
  WorkerOptions worker;
};

/// The channel that a master has named in the environment, or -1.
int channel_number() {
  const auto text = read_variable(variable::kChannelFd);
  if (!text) return -1;
  const auto number = parse_number<int>(*text);
  if (!number || *number < 0) {
    throw InvalidArgument(
        fmt::format("{} {}: not the number of a descriptor", variable::kChannelFd, *text));
  }
  return *number;
}

void check_command(std::string_view option, const std::string& text) {
  const auto [name, command] = split_name_value(option, text, "NAME=CMD");
  require_utf8(option, name);
  if (command.empty()) {
    throw InvalidArgument(fmt::format("{} {}: write a command after the =", option, text));
  }
  if (name == "*" || name.ends_with(".*")) {
    throw InvalidArgument(
        fmt::format("{} {}: only --forward takes a name with a star", option, text));
  }
}

void check_forward(const std::string& text) {
  const auto [name, word] = split_name_value("--forward", text, "NAME=ADDR");
  require_utf8("--forward", name);
  try {
    if (Address::parse(word).kind != Address::Kind::inherited) return;
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("--forward {}", error.what()));
  }
  throw InvalidArgument(
      fmt::format("--forward {}: one descriptor can't be connected to again", text));
}

void check(const Options& options) {
  const int places = (options.listen.empty() ? 0 : 1) + (options.join ? 1 : 0) + options.stdio;
  if (places > 1) throw InvalidArgument("only one of --listen, --join and --stdio");
  if (options.wait > Duration::zero() && !options.join) {
    throw InvalidArgument("--wait needs --join");
  }
  if (options.worker.threads > options.worker.limits.concurrency) {
    throw InvalidArgument(
        fmt::format("--threads {} needs --concurrency {} or more: each thread runs a call",
                    options.worker.threads, options.worker.threads));
  }
  if ((!options.listen.empty() || options.join) && channel_number() >= 0) {
    throw InvalidArgument(
        "--listen and --join are not for a worker of rpc-master, which gives it what it serves "
        "(HANDOFF_CHANNEL_FD is set)");
  }
  for (const std::string& text : options.methods) {
    check_command("--method", text);
  }
  for (const std::string& text : options.coprocesses) check_command("--coprocess", text);
  for (const std::string& name : options.process.environment_names) {
    if (!name.empty() && name.find('=') == std::string::npos) continue;
    throw InvalidArgument(
        fmt::format("--env {}: write the name of a variable alone", name.empty() ? "''" : name));
  }
  for (const std::string& text : options.forwards) {
    check_forward(text);
  }
}

Options parse(Tool& tool) {
  Options options;
  SessionLimits& limits = options.worker.limits;
  auto& app = tool.app;
  tool.describe(
      "Answer calls: on the channel that rpc-master gave it, of a master that it joins (-j),\n"
      "alone (-l), or on --stdio.",
      "rpc-worker [-j PATH | -l ADDR... | --stdio] [options]");
  add_listen_options(tool, options.listen, options.worker.allow_public);
  add_socket_name(tool, "-j,--join", options.join,
                  "Join the running rpc-master that has this named socket");
  app.add_flag_callback(
      "--wait", [&options] { options.wait = std::chrono::hours(24 * 365); },
      "With --join: wait until the master is there");
  add_allowed_uids(tool, options.worker.allowed_uids,
                   "Whose master may be joined, and who may connect to an\n"
                   "abstract name, besides the own user and root; repeatable");
  app.add_flag("--stdio", options.stdio, "Serve one connection on stdin and stdout");
  app.add_option("-m,--method", options.methods,
                 "Run `sh -c CMD` for each call: params on stdin, result on stdout; repeatable")
      ->type_name("NAME=CMD")
      ->allow_extra_args(false);
  app.add_option("-k,--coprocess", options.coprocesses,
                 "Keep CMD running: params as a line to its stdin, a line back; repeatable")
      ->type_name("NAME=CMD")
      ->allow_extra_args(false);
  add_number(tool, "--pool", "N", options.pool, 1, 4096,
             "How many of each coprocess run (default 1)")
      ->needs("--coprocess");
  app.add_option("-d,--methods", options.directories,
                 "Each executable in DIR is a method; HUP lists them again; repeatable")
      ->type_name("DIR")
      ->allow_extra_args(false);
  app.add_option("-f,--forward", options.forwards,
                 "NAME (PREFIX.*, or *) is answered by the server at ADDR; repeatable")
      ->type_name("NAME=ADDR")
      ->allow_extra_args(false);
  app.add_option("--env", options.process.environment_names,
                 "Also hand this variable to commands; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_flag("--text", options.process.text, "A command's output that is no JSON is a string");
  add_number(tool, "-C,--concurrency", "N", limits.concurrency, 1, 1000000,
             "Calls that run at a time (default 256); 1 is the synchronous worker");
  add_number(tool, "--credits", "N", options.worker.credits, 1, 10000000,
             "Connections held at a time (default: what the descriptor limit allows)");
  tool.add_value(
      "--max-requests", "N[,JITTER]",
      [&options](const std::string& text) {
        options.worker.max_requests = parse_max_requests(text);
      },
      "Ask to be replaced after so many requests, and a random number up to JITTER");
  add_number(tool, "--threads", "N", options.worker.threads, 1, 1024,
             "Reactors in this process, a thread each (default 1)");
  add_choice<bool>(tool, "--wake", "WHOM", options.worker.wake_all, {{"one", false}, {"all", true}},
                   "Whom a connection at a passed listener wakes: one worker (default) or all");
  tool.add_duration("--max-lifetime", options.worker.max_lifetime,
                    "Ask to be replaced after so long (default: never)");
  add_session_options(tool, limits);
  tool.add_duration("--drain-timeout", options.worker.drain_timeout,
                    "Cut off what has not ended by then (default 30s)");
  tool.parse();
  tool.refuse_command();
  check(options);
  const bool has_channel = options.listen.empty() && channel_number() >= 0;
  if (!options.join && !options.stdio && !has_channel) add_inherited_listeners(options.listen);
  options.process.max_output = limits.max_frame;
  options.process.memory = limits.memory;
  options.worker.reloads = !options.directories.empty();
  return options;
}

/// The methods that the command line names, and what stands behind them; of one reactor.
class Methods {
 public:
  Methods(Reactor& reactor, ChildRunner& runner, const Options& options, const AddMethods& add_own,
          std::mutex& adding)
      : reactor_(reactor), options_(options), add_own_(add_own), adding_(adding), runner_(runner) {
    for (const std::string& text : options.coprocesses) {
      auto [name, command] = split_name_value("--coprocess", text, "NAME=CMD");
      coprocesses_.emplace_back(
          name, std::make_unique<Coprocess>(reactor, runner_, name, command, options.pool));
    }
    UpstreamOptions forward;
    forward.max_frame = options.worker.limits.max_frame;
    for (const std::string& text : options.forwards) {
      auto [name, address] = split_name_value("--forward", text, "NAME=ADDR");
      auto& server = servers_[address];
      if (!server) {
        server = std::make_unique<Upstream>(reactor, Address::parse(address), forward);
      }
      forwards_.emplace_back(name, server.get());
    }
  }

  /// A table of all of them, the directories as they are now. What was named one by one goes
  /// before what was found, and that before what is built in.
  std::shared_ptr<const MethodTable> make() {
    const std::string number = read_variable(variable::kWorkerNumber).value_or("");
    auto table = std::make_shared<MethodTable>();
    for (const std::string& text : options_.methods) {
      auto [name, command] = split_name_value("--method", text, "NAME=CMD");
      table->add(name, command_handler(reactor_, runner_, Program::shell(command)),
                 Supervision::handler);
    }
    for (const auto& [name, coprocess] : coprocesses_) {
      table->add(
          name, [to = coprocess.get()](Call call) { return to->call(std::move(call)); },
          Supervision::handler);
    }
    for (const auto& [name, server] : forwards_) {
      table->add(
          name, [to = server](Call call) { return to->call(std::move(call)); },
          Supervision::handler);
    }
    add_own_methods(*table);
    for (const std::string& path : options_.directories) {
      add_directory(*table, reactor_, runner_, path);
    }
    add_built_in_methods(*table, parse_number<int>(number).value_or(0));
    return table;
  }

 private:
  /// The threads take turns, as AddMethods promises.
  void add_own_methods(MethodTable& table) {
    if (!add_own_) return;
    const std::lock_guard lock(adding_);
    add_own_(table, reactor_);
  }

  Reactor& reactor_;
  const Options& options_;
  const AddMethods& add_own_;
  std::mutex& adding_;
  ChildRunner& runner_;
  std::vector<std::pair<std::string, std::unique_ptr<Coprocess>>> coprocesses_;
  std::map<std::string, std::unique_ptr<Upstream>> servers_;  ///< by address
  std::vector<std::pair<std::string, Upstream*>> forwards_;
};

/// HUP ends a worker that has no directories to list again.
std::vector<int> signals_of(const Options& options) {
  if (options.worker.reloads) return {SIGTERM, SIGINT, SIGHUP, SIGCHLD};
  return ending_signals({SIGTERM, SIGINT, SIGHUP, SIGCHLD});
}

ExitCode run(Tool& tool, const AddMethods& add_own) {
  const Options options = parse(tool);
  tool.run_long(Orphans::adopt);
  const SignalMask signals(signals_of(options), SignalMask::Until::exit);
  Reactor reactor;
  const DropNotice notice(reactor, tool.log);
  ChildRunner runner(options.process);
  std::mutex adding;
  const auto make_methods = [&](Reactor& of) -> MakeMethodTable {
    const auto methods = std::make_shared<Methods>(of, runner, options, add_own, adding);
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
  if (worker.cut_off() == 0) return ExitCode::done;
  throw TimedOut(fmt::format("ended with {} cut off", counted(worker.cut_off(), "connection")));
}

}  // namespace

int worker_main(const char* name, int argc, char** argv, const AddMethods& add_own) {
  return tool_main(name, argc, argv, [&](Tool& tool) { return run(tool, add_own); });
}

}  // namespace handoff
