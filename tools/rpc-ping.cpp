// SPDX-License-Identifier: MIT
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "cli/tool_main.hpp"
#include "os/error.hpp"
#include "os/fd.hpp"
#include "os/signals.hpp"
#include "rpc/ping.hpp"
#include "rpc/ping_report.hpp"

namespace handoff {
namespace {

using Pace = PingOptions::Pace;

struct CommandLine {
  PingOptions ping;
  PingReportOptions report;
  PingLimits limits;
  std::vector<Address> addresses;
};

/// "p99:5ms"
std::pair<RttMeasure, Duration> parse_rtt_limit(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    throw InvalidArgument("fail-rtt, on " + text + ": write p99:5ms, avg:1ms or max:20ms");
  }
  return {RttMeasure::parse(text.substr(0, colon)), parse_duration(text.substr(colon + 1))};
}

CommandLine parse(Tool& tool) {
  CommandLine line;
  PingOptions& ping = line.ping;
  std::vector<std::string> addresses;
  std::vector<std::string> rtt_limits;
  double most_loss = 0;
  bool flood = false;
  bool adaptive = false;
  CLI::App& app = tool.app;
  app.description("Ping RPC servers: send the request `ping`, and measure until its reply.");
  app.add_option("ADDR", addresses, "HOST:PORT, unix:PATH, @NAME, fd:N or exec:COMMAND");
  auto* count = app.add_option("-c,--count", ping.count, "Stop after so many probes");
  auto* interval = tool.add_duration("-i,--interval", ping.interval, "Between probes (1s)");
  tool.add_duration("-W,--timeout", ping.reply_timeout, "Wait so long for a reply (10s)");
  tool.add_duration("-w,--deadline", ping.deadline, "Stop after this time, whatever came");
  app.add_flag("-f,--flood", flood, "As fast as replies come, or 100 a second");
  app.add_flag("-A,--adaptive", adaptive, "The next probe when the reply comes");
  auto* rate = app.add_option("--rate", ping.rate, "Probes a second, timed from when each is due");
  app.add_flag("-D,--timestamps", line.report.timestamps, "Print the time before each line");
  app.add_flag("-J,--json", line.report.json, "Print a JSON object for each probe, and a summary");
  app.add_flag("-x,--wait", ping.wait_until_up, "Wait until the server is up");
  app.add_option("-s,--size", ping.size, "Bytes of params (56)");
  app.add_option("-C,--connections", ping.connections, "Connections to each address (1)");
  auto* in_flight =
      app.add_option("-P,--in-flight", ping.in_flight, "Probes under way on each connection");
  app.add_flag("--reconnect", ping.reconnect, "A connection for each probe, timed with it");
  tool.add_duration("--connect-timeout", ping.connect_timeout, "Wait so long to connect (10s)");
  auto* loss = app.add_option("--fail-loss", most_loss, "Status 1 when more percent are lost");
  app.add_option("--fail-rtt", rtt_limits, "Status 1 when above, as p99:5ms, avg:1ms, max:1s")
      ->type_name("WHAT:T")
      ->allow_extra_args(false);
  tool.parse();

  if (count->count() > 0 && ping.count == 0) throw InvalidArgument("count, on 0: at least 1");
  if (in_flight->count() > 0 && ping.in_flight == 0) {
    throw InvalidArgument("in-flight, on 0: at least 1");
  }
  if (adaptive + (rate->count() > 0) + (interval->count() > 0) > 1 ||
      (flood && (adaptive || rate->count() > 0))) {
    throw InvalidArgument("pace, on -i, -f, -A, --rate: they exclude each other, except -f and -i");
  }
  if (rate->count() > 0) ping.pace = Pace::rate;
  if (adaptive) ping.pace = Pace::adaptive;
  const bool no_interval = ping.interval == Duration::zero();
  if (no_interval || (flood && interval->count() == 0)) ping.pace = Pace::flood;
  if (loss->count() > 0) {
    if (!(most_loss >= 0 && most_loss <= 100)) {
      throw InvalidArgument("fail-loss, on " + loss->as<std::string>() + ": 0 to 100 are possible");
    }
    line.limits.loss_percent = most_loss;
  }
  for (const auto& text : rtt_limits) line.limits.rtt.push_back(parse_rtt_limit(text));
  addresses.insert(addresses.end(), tool.after_dashes.begin(), tool.after_dashes.end());
  for (const auto& text : addresses) line.addresses.push_back(Address::parse(text));
  ping.check(line.addresses);

  PingReportOptions& report = line.report;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  const bool quiet = tool.log.level() == Log::Level::quiet;
  const bool slow =
      (ping.pace == Pace::interval && ping.interval >= std::chrono::milliseconds(200)) ||
      (ping.pace == Pace::rate && ping.rate <= 5);
  report.size = ping.size;
  report.dots = flood && terminal && !quiet && !report.json;
  report.lines = !quiet && (report.json || !flood);
  report.flush_lines = !report.dots && (terminal || slow);
  report.shows_pace = ping.pace == Pace::flood || ping.pace == Pace::adaptive;
  report.error = [&tool](std::string_view text) { tool.log.error(text); };
  if (tool.log.level() == Log::Level::verbose) {
    report.detail = [&tool](std::string_view text) { tool.log.detail(text); };
  }
  return line;
}

ExitCode exit_code_of(const PingResult& result) {
  switch (result.verdict) {
    case PingResult::Verdict::answered: return ExitCode::done;
    case PingResult::Verdict::unreachable: return ExitCode::unreachable;
    case PingResult::Verdict::protocol_broken: return ExitCode::protocol;
    default: return ExitCode::negative;
  }
}

ExitCode run(Tool& tool) {
  CommandLine line = parse(tool);
  raise_descriptor_limit();
  const SignalMask signals{SIGINT, SIGQUIT};
  PingReport report(std::move(line.report));
  Reactor reactor;
  Pinger pinger(reactor, line.ping, std::move(line.addresses), report);
  reactor.spawn(pinger.obey(signals));
  reactor.run(pinger.run());
  ExitCode worst = ExitCode::done;
  for (const PingResult* result : pinger.results()) {
    report.print_summary(*result);
    ExitCode code = exit_code_of(*result);
    for (const auto& text : line.limits.exceeded_by(*result)) {
      tool.log.error(text);
      code = std::max(code, ExitCode::negative);
    }
    worst = std::max(worst, code);
  }
  return worst;
}

}  // namespace
}  // namespace handoff

int main(int argc, char** argv) {
  return handoff::tool_main("rpc-ping", argc, argv, handoff::run);
}
