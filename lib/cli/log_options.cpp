// SPDX-License-Identifier: MIT
#include "cli/log_options.hpp"

#include <string>
#include <string_view>

namespace handoff {

void add_log_calls(Tool& tool) {
  tool.app.add_flag("--log-calls")
      ->description("Log each call: method, client, ok or the error's code, milliseconds");
}

void add_log_time(Tool& tool) {
  tool.app.add_flag_callback(
      "--log-time", [&tool] { tool.log.show_times(); },
      "Begin each line of the log with the local time");
}

std::unique_ptr<const CallLog> make_call_log(Tool& tool, LogRelay& relay) {
  const bool logs_all = tool.app.count("--log-calls") > 0;
  if (!logs_all && tool.log.level() != StderrLog::Level::verbose) { return nullptr; }
  const Severity severity = logs_all ? Severity::info : Severity::detail;
  const auto say = [&tool, &relay, severity](std::string_view line) {
    relay.run([&log = tool.log, severity, text = std::string(line)] { log.say(severity, text); });
  };
  return std::make_unique<const CallLog>(logs_all ? CallLog::Calls::all : CallLog::Calls::failed,
                                         say);
}

}  // namespace handoff
