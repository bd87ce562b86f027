// SPDX-License-Identifier: MIT
#include "os/describe_fd.hpp"

#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <optional>
#include <string_view>

#include "os/socket.hpp"

namespace handoff {
namespace {

/// Returns what /proc says that the descriptor refers to: a path, or "pipe:[123]",
/// "anon_inode:[eventpoll]".
std::string link_of(int number) {
  char target[PATH_MAX];
  const ssize_t size =
      readlink(fmt::format("/proc/self/fd/{}", number).c_str(), target, sizeof target);
  return size < 0 ? "" : std::string(target, static_cast<std::size_t>(size));
}

/// Returns "eventpoll" for "anon_inode:[eventpoll]".
std::string type_of_anonymous(std::string_view link) {
  const auto start = link.find_first_of(":") + 1;
  std::string_view name = link.substr(start);
  if (name.starts_with('[')) { name = name.substr(1, name.size() - 2); }
  return std::string(name);
}

std::string type_of_socket(int number) {
  const int family = local_address(number).family();
  const int type = socket_type(number).value_or(0);
  if (family == AF_UNIX) { return "unix"; }
  if (family == AF_INET || family == AF_INET6) {
    if (type == SOCK_STREAM) { return "tcp"; }
    if (type == SOCK_DGRAM) { return "udp"; }
  }
  return "socket";
}

std::string type_of(int number, const struct stat& status, const std::string& link) {
  switch (status.st_mode & S_IFMT) {
    case S_IFREG: return link.starts_with("/memfd:") ? "memfd" : "file";
    case S_IFDIR: return "directory";
    case S_IFIFO: return "pipe";
    case S_IFSOCK: return type_of_socket(number);
    case S_IFBLK: return "block device";
    case S_IFCHR: return isatty(number) == 1 ? "terminal" : "character device";
    default: return type_of_anonymous(link);
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_descriptor(int number) {
  struct stat status {};
  if (fstat(number, &status) < 0) { return {{"type", "unknown"}}; }
  const std::string link = link_of(number);
  std::vector<std::pair<std::string, std::string>> fields = {
      {"type", type_of(number, status, link)}};
  if (!S_ISSOCK(status.st_mode)) {
    if (link.starts_with('/')) { fields.emplace_back("path", link); }
    return fields;
  }
  fields.emplace_back("local", local_address(number).text());
  if (is_listening(number)) {
    fields.emplace_back("listening", "true");
  } else if (const SocketAddress peer = peer_address(number); peer.family() != AF_UNSPEC) {
    fields.emplace_back("peer", peer.text());
  }
  return fields;
}

}  // namespace handoff
