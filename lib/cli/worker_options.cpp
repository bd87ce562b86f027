// SPDX-License-Identifier: MIT
#include "cli/worker_options.hpp"

#include <fmt/format.h>

#include <chrono>
#include <string_view>

#include <handoff/os/error.hpp>
#include <handoff/wire/json_text.hpp>

#include "cli/log_options.hpp"
#include "cli/option_values.hpp"
#include "cli/shared_options.hpp"
#include "os/address_list.hpp"
#include "os/environment.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

/// What the NAME of an option's NAME=VALUE may be.
enum class NameForm { name, name_or_pattern };

void check_command(std::string_view option, const std::string& text,
                   NameForm form = NameForm::name) {
  const auto [name, command] = split_name_value(option, text, "NAME=CMD");
  require_utf8(option, name);
  if (command.empty()) {
    throw InvalidArgument(fmt::format("{} {}: write a command after the =", option, text));
  }
  if (form == NameForm::name && (name == "*" || name.ends_with(".*"))) {
    throw InvalidArgument(
        fmt::format("{} {}: only --service and --forward take a name with a star", option, text));
  }
}

ReadyCall parse_ready(const std::string& text) {
  ReadyCall call;
  call.method = text.substr(0, text.find('='));
  if (call.method.empty()) { throw InvalidArgument(text + ": write METHOD or METHOD=JSON"); }
  require_utf8("--ready", call.method);
  if (call.method.size() == text.size()) { return call; }
  call.params = text.substr(call.method.size() + 1);
  if (const auto problem = json_problem(call.params)) {
    throw InvalidArgument(fmt::format("{}: not JSON after the = ({})", text, *problem));
  }
  return call;
}

void check_forward(const std::string& text) {
  const auto [name, word] = split_name_value("--forward", text, "NAME=ADDR");
  require_utf8("--forward", name);
  try {
    if (!AddressList::parse(word).has(Address::Kind::inherited)) { return; }
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("--forward {}", error.what()));
  }
  throw InvalidArgument(
      fmt::format("--forward {}: one descriptor can't be connected to again", text));
}

void check(const WorkerToolOptions& options, const CLI::App& app) {
  const int places = (options.listen.empty() ? 0 : 1) + (options.join ? 1 : 0) + options.stdio;
  if (places > 1) { throw InvalidArgument("only one of --listen, --join and --stdio"); }
  if (app.count("--pool") > 0 && options.coprocesses.empty() && options.services.empty()) {
    throw InvalidArgument("--pool needs --coprocess or --service");
  }
  if (options.process.params == ParamsForm::arguments && options.methods.empty() &&
      options.directories.empty()) {
    throw InvalidArgument("--args needs --method or --methods");
  }
  const bool is_alone =
      !options.join && !options.stdio && (!options.listen.empty() || channel_number() < 0);
  if (options.worker.lame_duck > Duration::zero() && !is_alone) {
    throw InvalidArgument(
        "--lame-duck needs --listen: a master tells its workers (rpc-master --lame-duck)");
  }
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
  for (const std::string& text : options.methods) { check_command("--method", text); }
  for (const std::string& text : options.coprocesses) { check_command("--coprocess", text); }
  for (const std::string& text : options.services) {
    check_command("--service", text, NameForm::name_or_pattern);
  }
  for (const std::string& name : options.process.environment_names) {
    if (!name.empty() && name.find('=') == std::string::npos) { continue; }
    throw InvalidArgument(
        fmt::format("--env {}: write the name of a variable alone", name.empty() ? "''" : name));
  }
  for (const std::string& text : options.forwards) { check_forward(text); }
}

}  // namespace

int channel_number() {
  const auto text = read_variable(variable::kChannelFd);
  if (!text) { return -1; }
  const auto number = parse_number<int>(*text);
  if (!number || *number < 0) {
    throw InvalidArgument(
        fmt::format("{} {}: not the number of a descriptor", variable::kChannelFd, *text));
  }
  return *number;
}

std::optional<int> worker_number() {
  const auto text = read_variable(variable::kWorkerNumber);
  return text ? parse_number<int>(*text) : std::nullopt;
}

WorkerToolOptions parse_worker_options(Tool& tool) {
  WorkerToolOptions options;
  SessionLimits& limits = options.worker.limits;
  auto& app = tool.app;
  const std::string& name = tool.app.get_name();
  tool.describe(
      {"Answer calls: on the channel from rpc-master, for a master that it joins (-j), without a "
       "master (-l), or on stdin and stdout (--stdio).",
       {fmt::format("{} [-j PATH | -l ADDR... | --stdio] [options]", name)},
       {fmt::format("{} -l ./rpc.sock -m upper='tr a-z A-Z'", name),
        fmt::format("rpc-master -l :8080 -- {} -d ./methods", name)}});
  tool.group("Where calls come from");
  add_listen_options(tool, options.listen, options.worker.allow_public);
  add_proxy_from(tool, options.worker.proxies);
  add_socket_name(tool, "-j,--join", options.join,
                  "Join the running rpc-master that has this named socket");
  app.add_flag_callback(
      "--wait", [&options] { options.wait = std::chrono::hours(24 * 365); },
      "With --join: wait until there is a master");
  add_allowed_uids(
      tool, options.worker.allowed_uids,
      "Also join a master of USER, and let USER connect to an abstract name; repeatable");
  app.add_flag("--stdio", options.stdio, "Serve one connection on stdin and stdout");
  tool.group("Methods");
  app.add_option("-m,--method", options.methods,
                 "Run `sh -c CMD` for each call: params on stdin, result on stdout; repeatable")
      ->type_name("NAME=CMD")
      ->allow_extra_args(false);
  app.add_flag_callback(
      "--args", [&options] { options.process.params = ParamsForm::arguments; },
      "With -m and -d: params are arguments ($1 ...) or variables (RPC_ARG_name)");
  app.add_option(
         "-k,--coprocess", options.coprocesses,
         "Keep CMD running: a line of params to its stdin, a line of result back; repeatable")
      ->type_name("NAME=CMD")
      ->allow_extra_args(false);
  app.add_option("-K,--service", options.services,
                 "Keep CMD running: requests as lines to its stdin, replies back; NAME may "
                 "be PREFIX.*; repeatable")
      ->type_name("NAME=CMD")
      ->allow_extra_args(false);
  add_number(tool, "--pool", "N", options.pool, 1, 4096,
             "Processes of each coprocess and service (default 1)");
  tool.complete_value(
      app.add_option("-d,--methods", options.directories,
                     "Each executable in DIR is a method; HUP lists them again; repeatable")
          ->type_name("DIR")
          ->allow_extra_args(false),
      WordKind::directory);
  app.add_option("-f,--forward", options.forwards,
                 "NAME (PREFIX.*, or *) is answered by the server at ADDR, or by any of "
                 "several (A,B); repeatable")
      ->type_name("NAME=ADDR")
      ->allow_extra_args(false);
  app.add_option("--env", options.process.environment_names,
                 "Also pass this variable to commands; repeatable")
      ->type_name("NAME")
      ->allow_extra_args(false);
  app.add_flag("--text", options.process.text,
               "Take output of a command that is not JSON as a string");
  tool.add_value(
      "--ready", "METHOD[=JSON]",
      [&options](const std::string& text) { options.worker.ready = parse_ready(text); },
      "Call METHOD before serving; if it fails, exit with 1");
  tool.group("Working");
  add_number(tool, "-C,--concurrency", "N", limits.concurrency, 1, 1000000,
             "Calls that run at a time (default 256); 1 is the synchronous worker");
  add_number(tool, "--credits", "N", options.worker.credits, 1, 10000000,
             "Connections held at a time (default: what the descriptor limit allows)");
  tool.add_value(
      "--max-requests", "N[,JITTER]",
      [&options](const std::string& text) {
        options.worker.max_requests = parse_max_requests(text);
      },
      "Ask to be replaced after N requests plus a random number up to JITTER");
  add_number(tool, "--threads", "N", options.worker.threads, 1, 1024,
             "Threads that serve clients (default 1)");
  add_choice<bool>(tool, "--wake", "WHOM", options.worker.wake_all, {{"one", false}, {"all", true}},
                   "Workers that a connection on a passed listener wakes: one (default) or all");
  tool.add_duration("--max-lifetime", options.worker.max_lifetime,
                    "Ask to be replaced after T (default: never)");
  tool.add_duration("--drain-timeout", options.worker.drain_timeout,
                    "Cut off connections that are still open after T (default 30s)");
  tool.add_duration("--lame-duck", options.worker.lame_duck,
                    "With -l, at TERM: for T, end each connection after its next reply");
  tool.group("Limits of a client");
  add_session_options(tool, limits);
  tool.group("Log");
  add_log_calls(tool);
  add_log_time(tool);
  tool.parse();
  tool.refuse_command();
  check(options, app);
  const bool has_channel = options.listen.empty() && channel_number() >= 0;
  if (!options.join && !options.stdio && !has_channel) { add_inherited_listeners(options.listen); }
  if (!options.worker.proxies.empty() && options.listen.empty()) {
    throw InvalidArgument(
        "--proxy-from needs --listen; where a master listens, give it to rpc-master");
  }
  options.process.max_output = limits.max_frame;
  options.process.memory = limits.memory;
  const bool has_commands = !options.methods.empty() || !options.coprocesses.empty() ||
                            !options.services.empty() || !options.directories.empty();
  if (has_commands && (options.join || !options.listen.empty())) {
    options.process.ended_by = EndedBy::guard;
  }
  options.worker.reloads = !options.directories.empty();
  return options;
}

}  // namespace handoff
