// SPDX-License-Identifier: MIT
#include "os/peer.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <utility>

#include "os/error.hpp"
#include "os/parse_number.hpp"

namespace handoff {
namespace {

/// The uid -1 means none, and no map has it.
constexpr std::uint64_t kUids = 0xffff'ffff;

/// SO_PEERPIDFD, which the headers of Linux before 6.5 do not have.
constexpr int kPeerPidfd = 77;

constexpr const char* kUidMap = "/proc/self/uid_map";
constexpr const char* kWholeMap = "0 0 4294967295";

std::optional<std::string> read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) { return std::nullopt; }
  return std::string(std::istreambuf_iterator<char>(file), {});
}

bool has_no_user_namespaces() {
  return access("/proc/self/status", F_OK) == 0 && access(kUidMap, F_OK) < 0 && errno == ENOENT;
}

/// Returns how many uids the map has. The kernel lets no two of its ranges overlap, so the sum of
/// their lengths is right.
std::uint64_t count_mapped(std::string_view uid_map) {
  std::istringstream lines{std::string(uid_map)};
  std::uint64_t mapped = 0;
  std::string inside;
  std::string outside;
  std::string length;
  while (lines >> inside >> outside >> length) {
    mapped += parse_number<std::uint32_t>(length).value_or(0);
  }
  return mapped;
}

}  // namespace

PeerCredentials peer_credentials(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0) {
    throw SystemError(errno, "ask for the peer's user");
  }

  return {credentials.pid, credentials.uid};
}

/// Since Linux 6.5 the kernel knows the process itself. Before that its number may have become
/// another's.
Fd peer_process(int socket) {
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  if (getsockopt(socket, SOL_SOCKET, kPeerPidfd, &pidfd, &size) == 0) { return Fd(pidfd); }
  const pid_t pid = peer_credentials(socket).pid;
  if (pid <= 0) { return {}; }
  return Fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

DistinctUsers DistinctUsers::from(std::string_view overflow_uid, std::string_view uid_map) {
  DistinctUsers users;
  const std::string_view number = overflow_uid.substr(0, overflow_uid.find('\n'));
  users.overflow_uid = parse_number<uid_t>(number).value_or(users.overflow_uid);
  const std::uint64_t mapped = count_mapped(uid_map);
  users.mapped = mapped == 0 ? Mapped::none : mapped < kUids ? Mapped::some : Mapped::all;
  return users;
}

DistinctUsers DistinctUsers::of_this_process() {
  const std::string overflow_uid = read_file("/proc/sys/kernel/overflowuid").value_or("");
  if (const auto map = read_file(kUidMap)) { return from(overflow_uid, *map); }
  if (has_no_user_namespaces()) { return from(overflow_uid, kWholeMap); }
  return {};
}

std::string_view RefusedPeer::remedy() const {
  switch (reason) {
    case Reason::another_user: return "--allow-uid allows it";
    case Reason::ambiguous_user:
      return "it can be any user that this user namespace does not map; map the user to another "
             "uid";
    case Reason::every_user: return "this user namespace maps no user; write its uid_map first";
  }
  return "";
}

std::optional<RefusedPeer> judge_user(uid_t uid, uid_t own, std::span<const uid_t> allowed,
                                      const DistinctUsers& users) {
  using Mapped = DistinctUsers::Mapped;
  using Reason = RefusedPeer::Reason;
  if (uid == users.overflow_uid && users.mapped != Mapped::all) {
    const bool is_everybody = users.mapped == Mapped::none;
    return RefusedPeer{is_everybody ? Reason::every_user : Reason::ambiguous_user, uid};
  }
  if (uid == own || uid == 0) { return std::nullopt; }
  if (std::find(allowed.begin(), allowed.end(), uid) != allowed.end()) { return std::nullopt; }
  return RefusedPeer{Reason::another_user, uid};
}

PeerJudge::PeerJudge(std::vector<uid_t> allowed)
    : allowed_(std::move(allowed)), users_(DistinctUsers::of_this_process()) {}

std::optional<RefusedPeer> PeerJudge::refuse(int socket) const {
  // A map can be written while the process runs; a complete one stays complete.
  const bool is_final = users_.mapped == DistinctUsers::Mapped::all;
  return judge_user(peer_credentials(socket).uid, geteuid(), allowed_,
                    is_final ? users_ : DistinctUsers::of_this_process());
}

}  // namespace handoff
