// SPDX-License-Identifier: MIT
#include "cli/options.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <limits>
#include <random>

#include "os/error.hpp"
#include "os/listen_fds.hpp"
#include "os/parse_number.hpp"
#include "os/utf8.hpp"
#include "wire/framing.hpp"
#include "wire/limits.hpp"

namespace handoff {

void add_listen_options(Tool& tool, std::vector<Address>& listen, bool& allow_public) {
  tool.add_values(
      "-l,--listen", "ADDR",
      [&listen](const std::string& word) { listen.push_back(Address::parse(word)); },
      "Listen there: host:port, [v6]:port, :port, /path, @name, fd:N; repeatable");
  tool.app.add_flag("--public", allow_public, "Allow a listener that is not loopback");
}

void add_inherited_listeners(std::vector<Address>& listen) {
  const int count = count_listen_fds();
  for (int i = 0; i < count; ++i) {
    listen.push_back(Address::parse(fmt::format("fd:{}", kFirstListenFd + i)));
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

std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

CLI::Option* add_socket_name(Tool& tool, const std::string& names, std::optional<Address>& address,
                             const std::string& help) {
  const auto parse = [&address](const std::string& word) {
    const bool is_name =
        word.find('/') != std::string::npos || word.starts_with('@') || word.starts_with("unix:");
    if (is_name) address = Address::parse(word);
    if (is_name &&
        (address->kind == Address::Kind::unix_path || address->kind == Address::Kind::abstract)) {
      return;
    }
    const std::string name = word.empty() || word.find_first_of("/:") == 0 ? "name.sock" : word;
    throw InvalidArgument(fmt::format("{}: write the path of a socket, such as ./{}, or @name",
                                      word.empty() ? "''" : word, name));
  };
  return tool.add_value(names, "PATH", parse, help);
}

Address parse_server(std::string_view word) {
  Address address = Address::parse(word);
  if (address.kind != Address::Kind::inherited) return address;
  const int flags = fcntl(address.number, F_GETFL);
  if (flags < 0) {
    throw InvalidArgument(fmt::format("{}: the descriptor is not open", word));
  }
  if ((flags & O_ACCMODE) != O_RDWR) {
    throw InvalidArgument(
        fmt::format("{}: the descriptor is not open for reading and writing", word));
  }
  return address;
}

void require_utf8(std::string_view what, std::string_view word) {
  if (is_utf8(word)) return;
  throw InvalidArgument(
      fmt::format("{} {}: write it in UTF-8, for JSON has nothing else", what, word));
}

namespace {

/// A number of bytes; units are powers of 1024. Throws InvalidArgument, which says what `advice`
/// does, for a text that is no size from `least` to `most`.
std::uint64_t parse_size(const std::string& text, std::uint64_t least, std::uint64_t most,
                         std::string_view advice) {
  std::uint64_t bytes = 0;
  try {
    std::string size = text;
    CLI::AsSizeValue(false)(size);
    bytes = parse_number<std::uint64_t>(size).value_or(0);
  } catch (const CLI::ValidationError&) {
    // No size, like 0.
  }
  if (bytes >= least && bytes <= most) return bytes;
  throw InvalidArgument(
      fmt::format("{}: write a size such as {}", text.empty() ? "''" : text, advice));
}

/// The kernel gives no process more than 47 bits of addresses.
void add_max_memory(Tool& tool, SessionLimits& limits, const std::string& help) {
  const auto parse = [&limits](const std::string& text) {
    limits.memory = std::make_shared<MemoryBudget>(parse_size(
        text, std::uint64_t{1} << 16, std::uint64_t{1} << 47, "64MiB or 2GiB, at least 64KiB"));
  };
  tool.add_value("--max-memory", "SIZE", parse, help);
}

}  // namespace

void add_max_frame(Tool& tool, std::uint32_t& max_frame, const std::string& help) {
  const auto parse = [&max_frame](const std::string& text) {
    max_frame = static_cast<std::uint32_t>(
        parse_size(text, 1, limits::kHighestMaxFrame, "64KiB or 16MiB, at most 128MiB"));
  };
  tool.add_value("--max-frame", "BYTES", parse, help);
}

void add_session_options(Tool& tool, SessionLimits& limits, const std::string& mark) {
  add_max_frame(tool, limits.max_frame, mark + "Longest body of a frame (default 1MiB)");
  add_max_memory(tool, limits, mark + "Bytes that clients may make it hold (default 256MiB)");
  add_choice(tool, "--framing", "WHAT", limits.framing,
             {{"auto", Framing::unknown}, {"length", Framing::length}, {"lines", Framing::lines}},
             mark + "auto (default: as the client's first bytes have it), length or lines");
  tool.add_duration("--timeout", limits.call_timeout,
                    mark + "Deadline of a call (default 30s; 0: none)");
  tool.add_duration("--idle-timeout", limits.idle_timeout,
                    mark + "Close a connection that is idle for so long (default: never)");
  tool.add_duration("--frame-timeout", limits.frame_timeout,
                    mark + "From a frame's first byte to its last (default 30s)");
  tool.add_duration("--write-timeout", limits.write_timeout,
                    mark + "For a client to take some of its replies (default 30s)");
}

void add_allowed_uids(Tool& tool, std::vector<uid_t>& uids, const std::string& help) {
  add_numbers(tool, "--allow-uid", "UID", uids, 0, std::numeric_limits<uid_t>::max(), help);
}

std::pair<Duration, Duration> parse_duration_range(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    throw InvalidArgument(fmt::format("{}: write MIN:MAX, as in 100ms:10s", text));
  }
  const Duration low = parse_duration(text.substr(0, colon));
  const Duration high = parse_duration(text.substr(colon + 1));
  if (low > high) {
    throw InvalidArgument(fmt::format("{}: the first exceeds the second", text));
  }
  return {low, high};
}

std::uint64_t parse_max_requests(std::string_view text) {
  const auto number = [&](std::string_view digits) {
    const auto value = parse_number<std::uint64_t>(digits);
    if (!value || *value > 1'000'000'000'000) {
      throw InvalidArgument(fmt::format("{}: write N or N,JITTER", text));
    }
    return *value;
  };
  const auto comma = text.find(',');
  const std::uint64_t most = number(text.substr(0, comma));
  if (most == 0) throw InvalidArgument("0: write 1 or more");
  if (comma == std::string_view::npos) return most;
  std::random_device random;
  return most +
         std::uniform_int_distribution<std::uint64_t>(0, number(text.substr(comma + 1)))(random);
}

std::pair<std::string, std::string> split_name_value(std::string_view option, std::string_view text,
                                                     std::string_view form) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    throw InvalidArgument(fmt::format("{} {}: write {}", option, text, form));
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
