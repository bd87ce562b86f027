// SPDX-License-Identifier: MIT
#include "os/describe_fd.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "os/socket.hpp"

namespace handoff {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

/// What /proc puts after the path of a file that has no name any more.
constexpr std::string_view kDeleted = " (deleted)";

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

/// Returns whether the link is that of a namespace, such as "net:[4026531840]" (namespaces(7)).
bool is_namespace(std::string_view link) {
  constexpr std::array kKinds = {"cgroup:[", "ipc:[",  "mnt:[",  "net:[",
                                 "pid:[",    "time:[", "user:[", "uts:["};
  return std::any_of(kKinds.begin(), kKinds.end(),
                     [link](const char* kind) { return link.starts_with(kind); });
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

/// Returns whether the path that /proc shows names no file any more. A file may be called
/// "x (deleted)" as well, and a memfd never had a name.
bool is_deleted(const struct stat& status, const std::string& link) {
  struct stat named {};
  const bool is_there = stat(link.c_str(), &named) == 0 && named.st_dev == status.st_dev &&
                        named.st_ino == status.st_ino;
  const bool had_name = link.starts_with('/') && !link.starts_with("/memfd:");
  return had_name && link.ends_with(kDeleted) && !is_there;
}

std::string type_of(int number, const struct stat& status, const std::string& link) {
  // A kind of the kernel's own may have the mode of a regular file.
  if (link.starts_with("anon_inode:")) { return type_of_anonymous(link); }
  if (is_namespace(link)) { return "namespace"; }
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

void add_name(Fields& fields, const struct stat& status, const std::string& link) {
  if (is_namespace(link)) {
    fields.emplace_back("namespace", link.substr(0, link.find(':')));
  } else if (is_deleted(status, link)) {
    fields.emplace_back("path", link.substr(0, link.size() - kDeleted.size()));
    fields.emplace_back("deleted", "true");
  } else if (link.starts_with('/')) {
    fields.emplace_back("path", link);
  }
}

}  // namespace

Fields describe_descriptor(int number) {
  struct stat status {};
  if (fstat(number, &status) < 0) { return {{"type", "unknown"}}; }
  const std::string link = link_of(number);
  Fields fields = {{"type", type_of(number, status, link)}};
  const int flags = fcntl(number, F_GETFL);
  const bool only_names_a_file = flags >= 0 && (flags & O_PATH) != 0;
  if (only_names_a_file) { fields.emplace_back("o_path", "true"); }
  if (!S_ISSOCK(status.st_mode) || only_names_a_file) {
    add_name(fields, status, link);
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
