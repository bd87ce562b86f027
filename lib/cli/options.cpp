// SPDX-License-Identifier: MIT
#include "cli/options.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "os/error.hpp"

namespace handoff {

void add_listen_options(Tool& tool, std::vector<Address>& listen, bool& allow_public) {
  tool.app
      .add_option_function<std::vector<std::string>>(
          "-l,--listen",
          [&listen](const std::vector<std::string>& words) {
            for (const std::string& word : words) listen.push_back(Address::parse(word));
          },
          "Listen there: host:port, [v6]:port, :port, /path, @name, fd:N; repeatable")
      ->type_name("ADDR")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  tool.app.add_flag("--public", allow_public, "Allow a listener that is not loopback");
}

void add_inherited_listeners(std::vector<Address>& listen) {
  constexpr int kFirst = 3;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atoi(pid) != getpid()) return;
  for (int i = 0; i < std::atoi(count); ++i) {
    listen.push_back(Address::parse(fmt::format("fd:{}", kFirst + i)));
  }
}

std::pair<Duration, Duration> parse_duration_range(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    throw InvalidArgument(fmt::format("range, on {}: write MIN:MAX, as in 100ms:10s", text));
  }
  const Duration low = parse_duration(text.substr(0, colon));
  const Duration high = parse_duration(text.substr(colon + 1));
  if (low > high) {
    throw InvalidArgument(fmt::format("range, on {}: the first exceeds the second", text));
  }
  return {low, high};
}

std::pair<std::string, std::string> split_name_value(std::string_view text, std::string_view form) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InvalidArgument(fmt::format("option, on {}: write {}", text, form));
  }
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Report report_to(const Log& log) {
  return [&log](Severity severity, std::string_view text) {
    switch (severity) {
      case Severity::error: return log.error(text);
      case Severity::info: return log.info(text);
      case Severity::detail: return log.detail(text);
    }
  };
}

}  // namespace handoff
