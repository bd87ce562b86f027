// SPDX-License-Identifier: MIT
#include "commands/rendezvous_options.hpp"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include <handoff/os/error.hpp>
#include <handoff/os/fd.hpp>

#include "cli/shared_options.hpp"
#include "os/parse_number.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// Returns what to write instead of a word that seems to mean something other than a file; empty if
/// it may be a file's name.
std::string remedy_for(std::string_view word) {
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (is_number(word)) {
    return fmt::format("write fd:{0} for the descriptor, or ./{0} for a socket's file", word);
  }
  const auto colon = word.rfind(':');
  const bool is_path = word.starts_with('/') || word.starts_with('.');
  if (is_path || colon == std::string_view::npos) { return ""; }
  if (word.find("://") == std::string_view::npos && !is_number(word.substr(colon + 1))) {
    return "";
  }
  return "descriptors pass through Unix sockets alone: write a path such as ./name.sock, or @name";
}

}  // namespace

Address parse_socket(std::string_view word, int dash) {
  Address address;
  if (word == "-") {
    address = Address::parse(fmt::format("fd:{}", dash));
    address.text = "-";
  } else if (word.starts_with('@') || word.starts_with("fd:") || word.starts_with("unix:")) {
    address = Address::parse(word);
  } else if (const auto remedy = remedy_for(word); !remedy.empty()) {
    throw InvalidArgument(fmt::format("SOCKET {}: {}", word, remedy));
  } else {
    address = Address::parse(fmt::format("unix:{}", word));
    address.text = word;
  }
  if (address.kind != Address::Kind::inherited) { return address; }
  // A socket of another family carries bytes, but no descriptors.
  if (!is_open(address.number) || local_address(address.number).family() != AF_UNIX) {
    throw InvalidArgument(fmt::format("SOCKET {}: the descriptor is not a Unix socket", word));
  }
  return address;
}

void add_rendezvous_options(Tool& tool, RendezvousOptions& options) {
  tool.add_duration("-t,--timeout", options.timeout, "Deadline of the whole run (default: none)");
  const auto parse_mode = [&options](const std::string& text) {
    const auto mode = parse_number<unsigned>(text, 8);
    if (!mode || *mode > 0777) {
      throw InvalidArgument(fmt::format("{}: write it as 600 or 660", text));
    }
    options.mode = *mode;
  };
  tool.add_value("--mode", "MODE", parse_mode,
                 "When listening: mode of the socket's file (default 600)");
  add_allowed_uids(tool, options.allowed_uids, "Also accept USER at the other end; repeatable");
}

}  // namespace handoff
