// SPDX-License-Identifier: MIT
// rpc-ping: measures how fast servers answer, as ping(8) does for hosts.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/error.hpp>
#include <handoff/wire/json_text.hpp>

#include "async/signal_watcher.hpp"
#include "cli/option_values.hpp"
#include "cli/shared_options.hpp"
#include "cli/stdout_writer.hpp"
#include "cli/tool.hpp"
#include "cli/tool_main.hpp"
#include "os/signals.hpp"
#include "ping/pinger.hpp"
#include "ping/report.hpp"

namespace {

using handoff::Address;
using handoff::Duration;
using handoff::ExitCode;
using handoff::InvalidArgument;
using handoff::PingOptions;
using handoff::PingReportOptions;
using handoff::PingResult;
using handoff::StderrLog;
using handoff::Tool;
using Pace = PingOptions::Pace;

constexpr std::uint64_t kMostProbes = std::numeric_limits<std::int64_t>::max();

struct CommandLine {
  PingOptions ping;
  PingReportOptions report;
  handoff::PingLimits limits;
  std::vector<Address> addresses;
  bool check = false;  ///< nothing is said but the first problem
};

/// Reads a limit such as "p99:5ms".
std::pair<handoff::RttMeasure, Duration> parse_rtt_limit(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    throw InvalidArgument(fmt::format("{}: write p99:5ms, avg:1ms or max:1s", text));
  }
  return {handoff::RttMeasure::parse(text.substr(0, colon)),
          handoff::parse_duration(text.substr(colon + 1))};
}

/// The options of the command line about the pace, and whether they were given.
struct PaceOptions {
  bool flood = false;
  bool adaptive = false;
  CLI::Option* interval = nullptr;
  CLI::Option* rate = nullptr;

  Pace choose(Duration between) const {
    const bool has_interval = interval->count() > 0;
    const bool has_rate = rate->count() > 0;
    if (adaptive + has_rate + (flood || has_interval) > 1) {
      throw InvalidArgument(
          "of --adaptive, --flood, --interval and --rate only --flood and --interval go together");
    }
    if (has_rate) { return Pace::rate; }
    if (adaptive) { return Pace::adaptive; }
    if (between == Duration::zero() || (flood && !has_interval)) { return Pace::flood; }
    return Pace::interval;
  }
};

/// Chooses how results are shown: each probe on a line, as dots, or not at all.
void choose_report(Tool& tool, CommandLine& line, bool flood) {
  const PingOptions& ping = line.ping;
  PingReportOptions& report = line.report;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  const bool quiet = tool.log.level() == StderrLog::Level::quiet;
  const bool slow =
      (ping.pace == Pace::interval && ping.interval >= std::chrono::milliseconds(200)) ||
      (ping.pace == Pace::rate && ping.rate <= 5);
  report.size = ping.params.empty() ? ping.size : ping.params.size();
  report.dots = flood && terminal && !quiet && !report.json;
  report.lines = !quiet && !line.check && (report.json || !flood);
  report.flush_lines = !report.dots && (terminal || slow);
  report.shows_pace = ping.pace == Pace::flood || ping.pace == Pace::adaptive;
  report.status = [&tool](std::string_view text) { tool.log.plain(text); };
  report.error = [&tool](std::string_view text) { tool.log.error(text); };
  report.info = [&tool](std::string_view text) { tool.log.info(text); };
  if (tool.log.level() == StderrLog::Level::verbose) {
    report.detail = [&tool](std::string_view text) { tool.log.detail(text); };
  }
}

CommandLine parse(Tool& tool) {
  CommandLine line;
  PingOptions& ping = line.ping;
  PaceOptions pace;
  double most_loss = 0;
  tool.describe({"Ping servers: send the request `ping`, and time the reply.",
                 {"rpc-ping [options] ADDR..."},
                 {"rpc-ping -c 3 ./rpc.sock", "rpc-ping -q -c 1000 -A --fail-rtt p99:5ms :8080"}});
  tool.complete_words({{}, handoff::WordKind::server});
  CLI::App& app = tool.app;
  tool.group("Probes");
  handoff::add_number(tool, "-c,--count", "N", ping.count, 1, kMostProbes, "Stop after N probes");
  pace.interval =
      tool.add_duration("-i,--interval", ping.interval, "Time between probes (default 1s)");
  tool.add_duration("-W,--timeout", ping.reply_timeout, "Give a probe up after T (default 10s)");
  tool.add_duration("-w,--deadline", ping.deadline, "Stop after this time");
  app.add_flag("-f,--flood", pace.flood, "Send as fast as replies arrive, or 100 per second");
  app.add_flag("-A,--adaptive", pace.adaptive, "Send the next probe once the reply has arrived");
  pace.rate = handoff::add_number(tool, "--rate", "R", ping.rate, 0.001, 1e7,
                                  "Send R probes per second, timed from when each is due");
  auto* method = tool.add_value(
      "-m,--method", "METHOD", [&ping](const std::string& name) { ping.method = name; },
      "Call this method instead of ping");
  tool.add_value(
          "--params", "JSON",
          [&ping](const std::string& text) {
            if (const auto problem = handoff::json_problem(text)) {
              throw InvalidArgument(fmt::format("{}: not valid JSON: {}", text, *problem));
            }
            ping.params = text;
          },
          "With -m: the params of the call (default null)")
      ->needs(method);
  handoff::add_number(tool, "-s,--size", "BYTES", ping.size, 0, PingOptions::kMostSize,
                      "Size of the params (default 56)");
  tool.group("Connections");
  handoff::add_number(tool, "-C,--connections", "N", ping.connections, 1,
                      PingOptions::kMostConnections, "Connections to each address (default 1)");
  handoff::add_number(tool, "-P,--in-flight", "N", ping.in_flight, 1, PingOptions::kMostInFlight,
                      "Most probes under way on each connection");
  app.add_flag("--reconnect", ping.reconnect, "Connect for each probe, and include that time");
  tool.add_duration("--connect-timeout", ping.connect_timeout,
                    "Deadline of connecting (default 10s)");
  app.add_flag("-x,--wait", ping.wait_until_up, "First wait until the server is up");
  tool.group("Output and verdict");
  app.add_flag("-D,--timestamps", line.report.timestamps, "Print the time before each line");
  app.add_flag("--check", line.check,
               "Print one line if something is wrong, and nothing otherwise");
  app.add_flag("-J,--json", line.report.json, "Print a JSON object for each probe, and a summary");
  auto* loss = handoff::add_number(tool, "--fail-loss", "PCT", most_loss, 0.0, 100.0,
                                   "Exit with 1 if more than PCT percent are lost");
  const auto add_limit = [&line](const std::string& text) {
    line.limits.rtt.push_back(parse_rtt_limit(text));
  };
  tool.add_values("--fail-rtt", "WHAT:T", add_limit,
                  "Exit with 1 above this: p99:5ms, avg:1ms, max:1s; repeatable");
  const std::vector<std::string> words = tool.parse_words();

  if (words.empty()) {
    const auto known = handoff::servers_of_environment();
    if (!known) { throw InvalidArgument("no ADDR (see rpc-ping --help)"); }
    line.addresses = known->all;
  }
  for (const std::string& word : words) {
    const handoff::AddressList servers = handoff::parse_servers(word);
    line.addresses.insert(line.addresses.end(), servers.all.begin(), servers.all.end());
  }
  ping.pace = pace.choose(ping.interval);
  if (ping.reconnect && ping.in_flight > 1) {
    throw InvalidArgument(
        fmt::format("--in-flight {} does not go with --reconnect: a connection has one probe then",
                    ping.in_flight));
  }
  ping.check(line.addresses);
  if (loss->count() > 0) { line.limits.loss_percent = most_loss; }
  if (method->count() > 0) {
    handoff::require_utf8("--method", ping.method);
    if (ping.params.empty()) { ping.params = "null"; }
    line.report.method = ping.method;
  }
  if (line.check) {
    if (line.report.json) { throw InvalidArgument("--check does not go with --json"); }
    if (ping.count == 0 && ping.deadline == Duration::zero()) { ping.count = 1; }
  }
  choose_report(tool, line, pace.flood);
  return line;
}

/// Returns why a check has failed, if nothing has reported that yet.
std::string describe_failure(const PingOptions& options, const PingResult& result) {
  return fmt::format("cannot ping {}: {} of {} replies, {}", result.address,
                     result.statistics.received(), result.statistics.sent(), options.no_reply());
}

ExitCode exit_code_of(const PingResult& result) {
  switch (result.verdict) {
    case PingResult::Verdict::answered: return ExitCode::done;
    case PingResult::Verdict::unreachable: return ExitCode::unreachable;
    case PingResult::Verdict::protocol_broken: return ExitCode::protocol;
    case PingResult::Verdict::cannot_send: return ExitCode::failed;
    default: return ExitCode::negative;
  }
}

/// Sends no probes while the reader of stdout does not keep up, because all lines are kept for it.
// The reactor destroys its tasks at the end of its run, before both go.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
handoff::Task<void> keep_up(handoff::Pinger& pinger, handoff::StdoutWriter& output) {
  for (;;) {
    co_await output.fell_behind();
    pinger.pause();
    co_await output.caught_up();
    pinger.resume();
  }
}

/// The reader of stdout may never take the rest of the output; then a signal is the only way out.
handoff::Task<void> discard_at_signal(const handoff::SignalMask& signals,
                                      handoff::StdoutWriter& output) {
  return handoff::watch_signals(output.reactor(), signals,
                                [&output](const auto&) { output.discard(); });
}

ExitCode run(Tool& tool) {
  CommandLine line = parse(tool);
  tool.run_long(handoff::Orphans::leave);
  std::signal(SIGTTOU, SIG_DFL);  // no server: in the background `stty tostop` stops it
  const handoff::SignalMask signals(handoff::ending_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT}),
                                    handoff::SignalMask::Until::exit);
  handoff::Reactor reactor;
  const handoff::DropNotice notice(reactor, tool.log);
  handoff::StdoutWriter output(reactor);
  line.report.out = [&output](std::string_view text) {
    output.add(text);
    output.write_now();  // before a diagnostic that follows
  };
  std::string problem;  // of a check: the first
  if (line.check) {
    line.report.out = [](std::string_view) {};
    line.report.info = nullptr;
    line.report.error = [&problem](std::string_view text) {
      if (problem.empty()) { problem = text; }
    };
  }
  const auto say = line.report.error;
  handoff::PingReport report(std::move(line.report));
  handoff::Pinger pinger(reactor, line.ping, std::move(line.addresses), report);
  reactor.spawn(output.run());
  reactor.spawn(keep_up(pinger, output));
  reactor.spawn(pinger.obey(signals));
  reactor.run(pinger.run());
  ExitCode worst = ExitCode::done;
  for (const PingResult* result : pinger.results()) {
    report.print_summary(*result);
    ExitCode code = exit_code_of(*result);
    if (code != ExitCode::done && line.check) { say(describe_failure(line.ping, *result)); }
    for (const auto& text : line.limits.exceeded_by(*result)) {
      say(text);
      code = std::max(code, ExitCode::negative);
    }
    worst = std::max(worst, code);
  }
  if (worst != ExitCode::done && line.check) { tool.log.error(problem); }
  reactor.spawn(output.run());
  reactor.spawn(discard_at_signal(signals, output));
  reactor.run(output.drained());
  return worst;
}

}  // namespace

int main(int argc, char** argv) {
  return handoff::tool_main("rpc-ping", argc, argv, run);
}
