// SPDX-License-Identifier: MIT
#include "cli/shared_options.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <limits>
#include <memory>

#include <handoff/os/error.hpp>
#include <handoff/wire/limits.hpp>

#include "cli/option_values.hpp"
#include "os/environment.hpp"
#include "os/listen_fds.hpp"
#include "os/parse_number.hpp"
#include "wire/framing.hpp"

namespace handoff {
namespace {

/// The upper limit is that of the kernel, which gives a process at most 47 bits of addresses.
void add_max_memory(Tool& tool, SessionLimits& limits, const std::string& help) {
  const auto parse = [&limits](const std::string& text) {
    limits.memory = std::make_shared<MemoryBudget>(parse_size(
        text, std::uint64_t{1} << 16, std::uint64_t{1} << 47, "64MiB or 2GiB, at least 64KiB"));
  };
  tool.add_value("--max-memory", "SIZE", parse, help);
}

}  // namespace

void add_listen_options(Tool& tool, std::vector<Address>& listen, bool& allow_public) {
  const CLI::Option* option = tool.add_values(
      "-l,--listen", "ADDR",
      [&listen](const std::string& word) { listen.push_back(Address::parse(word)); },
      "Listen on host:port, [v6]:port, :port, /path, @name or fd:N; repeatable");
  tool.complete_value(option, WordKind::socket);
  tool.app.add_flag("--public", allow_public, "Allow a listener that is not loopback");
}

void add_proxy_from(Tool& tool, std::vector<AddressRange>& proxies) {
  tool.add_values(
      "--proxy-from", "CIDR|unix",
      [&proxies](const std::string& word) { proxies.push_back(AddressRange::parse(word)); },
      "Connections from there begin with a PROXY header, v1 or v2; repeatable");
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

CLI::Option* add_socket_name(Tool& tool, const std::string& names, std::optional<Address>& address,
                             const std::string& help) {
  const auto parse = [&address](const std::string& word) {
    const bool is_name =
        word.find('/') != std::string::npos || word.starts_with('@') || word.starts_with("unix:");
    if (is_name) { address = Address::parse(word); }
    if (is_name &&
        (address->kind == Address::Kind::unix_path || address->kind == Address::Kind::abstract)) {
      return;
    }
    const std::string name = word.empty() || word.find_first_of("/:") == 0 ? "name.sock" : word;
    throw InvalidArgument(fmt::format("{}: write the path of a socket, such as ./{}, or @name",
                                      word.empty() ? "''" : word, name));
  };
  CLI::Option* option = tool.add_value(names, "PATH", parse, help);
  tool.complete_value(option, WordKind::socket);
  return option;
}

AddressList parse_servers(std::string_view word) {
  AddressList servers = AddressList::parse(word);
  for (const Address& address : servers.all) {
    if (address.kind != Address::Kind::inherited) { continue; }
    const int flags = fcntl(address.number, F_GETFL);
    if (flags < 0) {
      throw InvalidArgument(fmt::format("{}: the descriptor is not open", address.text));
    }
    if ((flags & O_ACCMODE) != O_RDWR) {
      throw InvalidArgument(
          fmt::format("{}: the descriptor is not open for reading and writing", address.text));
    }
  }
  return servers;
}

std::optional<AddressList> servers_of_environment() {
  const auto word = read_variable(variable::kAddress);
  if (!word || word->empty()) { return std::nullopt; }
  try {
    return parse_servers(*word);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("{} {}", variable::kAddress, error.what()));
  }
}

void add_max_frame(Tool& tool, std::uint32_t& max_frame, const std::string& help) {
  const auto parse = [&max_frame](const std::string& text) {
    max_frame = static_cast<std::uint32_t>(
        parse_size(text, 1, limits::kHighestMaxFrame, "64KiB or 16MiB, at most 128MiB"));
  };
  tool.add_value("--max-frame", "BYTES", parse, help);
}

void add_session_options(Tool& tool, SessionLimits& limits) {
  add_max_frame(tool, limits.max_frame, "Longest body of a frame (default 1MiB)");
  add_max_memory(tool, limits, "Bytes that clients may make the server hold (default 256MiB)");
  add_choice(tool, "--framing", "WHAT", limits.framing,
             {{"auto", Framing::unknown}, {"length", Framing::length}, {"lines", Framing::lines}},
             "auto (default: by the client's first bytes), length or lines");
  tool.add_duration("--timeout", limits.call_timeout, "Deadline of a call (default 30s; 0: none)");
  tool.add_duration("--idle-timeout", limits.idle_timeout,
                    "Close a connection that is idle for T (default: never)");
  tool.add_duration("--frame-timeout", limits.frame_timeout,
                    "How long a frame may take to arrive (default 30s)");
  tool.add_duration("--write-timeout", limits.write_timeout,
                    "How long a client may leave its replies unread (default 30s)");
}

void add_allowed_uids(Tool& tool, std::vector<uid_t>& uids, const std::string& help) {
  const auto parse = [&uids](const std::string& word) { uids.push_back(parse_user(word)); };
  tool.add_values("--allow-uid", "USER", parse, help);
}

}  // namespace handoff
