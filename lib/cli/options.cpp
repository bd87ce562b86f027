// SPDX-License-Identifier: MIT
#include "cli/options.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <random>

#include "os/error.hpp"
#include "os/parse_number.hpp"
#include "wire/frame.hpp"

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
      ->allow_extra_args(false);
  tool.app.add_flag("--public", allow_public, "Allow a listener that is not loopback");
}

void add_inherited_listeners(std::vector<Address>& listen) {
  constexpr int kFirst = 3;
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || parse_number<pid_t>(pid) != getpid()) return;
  const int listeners = parse_number<int>(count).value_or(0);
  for (int i = 0; i < listeners; ++i) {
    listen.push_back(Address::parse(fmt::format("fd:{}", kFirst + i)));
  }
}

std::vector<Fd> take_inherited_listeners() {
  std::vector<Address> addresses;
  add_inherited_listeners(addresses);
  std::vector<Fd> listeners;
  for (const Address& address : addresses) {
    set_nonblocking(address.number);
    listeners.emplace_back(address.number);
  }
  return listeners;
}

void add_words(CLI::App& app, const std::string& names, const std::string& help,
               const std::string& type) {
  app.add_option(names, help)
      ->type_name(type)
      ->expected(1, CLI::detail::expected_max_vector_size)
      ->allow_extra_args(false);
}

CLI::Option* add_address(CLI::App& app, const std::string& names, std::optional<Address>& address,
                         const std::string& help, const std::string& type) {
  return app
      .add_option_function<std::string>(
          names, [&address](const std::string& text) { address = Address::parse(text); }, help)
      ->type_name(type);
}

Address parse_server(std::string_view word) {
  Address address = Address::parse(word);
  if (address.kind != Address::Kind::inherited) return address;
  const int flags = fcntl(address.number, F_GETFL);
  if (flags < 0) {
    throw InvalidArgument(fmt::format("descriptor, on {}: it is not open", word));
  }
  if ((flags & O_ACCMODE) != O_RDWR) {
    throw InvalidArgument(
        fmt::format("descriptor, on {}: it is not open for reading and writing", word));
  }
  return address;
}

void require_named(const Address& address, std::string_view what) {
  if (address.kind == Address::Kind::unix_path || address.kind == Address::Kind::abstract) return;
  throw InvalidArgument(
      fmt::format("{}, on {}: write the name of a socket: /path or @name", what, address.text));
}

void add_max_frame(CLI::App& app, std::uint32_t& max_frame, const std::string& help) {
  app.add_option("--max-frame", max_frame, help)
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::Range(1U, frame::kHighestMaxBody, "at most 128MiB"))
      ->type_name("BYTES");
}

void add_session_options(Tool& tool, SessionLimits& limits, const std::string& mark) {
  add_max_frame(tool.app, limits.max_frame, mark + "Longest body of a frame (default 1MiB)");
  add_choice(tool.app, "--framing", limits.framing,
             {{"auto", Framing::unknown}, {"length", Framing::length}, {"lines", Framing::lines}},
             mark + "auto (default: as the client's first bytes have it), length or lines")
      ->type_name("WHAT");
  tool.add_duration("--timeout", limits.call_timeout,
                    mark + "Deadline of a call (default 30s; 0: none)");
  tool.add_duration("--idle-timeout", limits.idle_timeout,
                    mark + "Close a connection that is idle for so long (default: never)");
  tool.add_duration("--frame-timeout", limits.frame_timeout,
                    mark + "From a frame's first byte to its last (default 30s)");
  tool.add_duration("--write-timeout", limits.write_timeout,
                    mark + "For a client to take some of its replies (default 30s)");
}

void add_allowed_uids(CLI::App& app, std::vector<uid_t>& uids, const std::string& help) {
  app.add_option("--allow-uid", uids, help)->type_name("UID")->allow_extra_args(false);
}

void add_exchange_options(Tool& tool, ExchangeOptions& options) {
  tool.add_duration("-t,--timeout", options.timeout, "Deadline of everything (default: none)");
  tool.app
      .add_option_function<std::string>(
          "--mode",
          [&options](const std::string& text) {
            unsigned mode = 0;
            const char* end = text.data() + text.size();
            const auto [at, error] = std::from_chars(text.data(), end, mode, 8);
            if (error != std::errc() || at != end || mode > 0777) {
              throw InvalidArgument(fmt::format("mode, on {}: write it as 600 or 660", text));
            }
            options.mode = mode;
          },
          "Listening: mode of the socket's file (default 600)")
      ->type_name("MODE");
  add_allowed_uids(tool.app, options.allowed_uids,
                   "A user at the other end, besides the own and root; repeatable");
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

std::uint64_t parse_max_requests(std::string_view text) {
  const auto number = [&](std::string_view digits) {
    std::uint64_t value = 0;
    const auto [at, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || at != digits.data() + digits.size() || value > 1'000'000'000'000) {
      throw InvalidArgument(fmt::format("max-requests, on {}: write N or N,JITTER", text));
    }
    return value;
  };
  const auto comma = text.find(',');
  const std::uint64_t most = number(text.substr(0, comma));
  if (most == 0) throw InvalidArgument("max-requests, on 0: at least 1");
  if (comma == std::string_view::npos) return most;
  std::random_device random;
  return most +
         std::uniform_int_distribution<std::uint64_t>(0, number(text.substr(comma + 1)))(random);
}

std::pair<std::string, std::string> split_name_value(std::string_view text, std::string_view form) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InvalidArgument(fmt::format("option, on {}: write {}", text, form));
  }
  return {std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

Report report_to(StderrLog& log) {
  return [&log](Severity severity, std::string_view text) {
    switch (severity) {
      case Severity::error: return log.error(text);
      case Severity::info: return log.info(text);
      case Severity::detail: return log.detail(text);
    }
  };
}

}  // namespace handoff
