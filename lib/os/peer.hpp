// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "os/fd.hpp"

/// Finds out which process and user is at the other end of a Unix socket, and whether it may be
/// there.
namespace handoff {

/// The process at the other end of a connected Unix socket (SO_PEERCRED, unix(7)), as it was when
/// it connected, made the pair, or called listen(2): a listener that a service manager made for
/// another user shows the manager.
struct PeerCredentials {
  pid_t pid = 0;  ///< 0 if the process is in another PID namespace
  uid_t uid = 0;  ///< the overflow uid if this user namespace does not map the user
};

/// Throws SystemError if `socket` is not a socket.
PeerCredentials peer_credentials(int socket);

/// Returns a descriptor that becomes readable when the process at the other end has ended (a
/// pidfd), owned by the caller. It is invalid if the process is not known, has ended already, or
/// the kernel gives no pidfd. Throws SystemError if `socket` is not a socket.
Fd peer_process(int socket);

/// The users that a process can tell apart: in a user namespace all users that are not mapped have
/// one uid, the overflow uid, which can also be that of a user who is mapped (user_namespaces(7)).
struct DistinctUsers {
  enum class Mapped { none, some, all };

  uid_t overflow_uid = 65534;
  Mapped mapped = Mapped::some;

  /// Reads the texts of /proc/sys/kernel/overflowuid and /proc/PID/uid_map. A number that cannot be
  /// read is 65534, the kernel's default.
  static DistinctUsers from(std::string_view overflow_uid, std::string_view uid_map);
  /// Reads /proc. If that cannot be read, some users count as mapped and some as not.
  static DistinctUsers of_this_process();
};

/// A peer that is refused, and why.
struct RefusedPeer {
  enum class Reason {
    another_user,    ///< the user is neither that of this process, nor root, nor allowed
    ambiguous_user,  ///< the uid is the overflow uid, which several users have here
    every_user,      ///< no user is mapped at all, so no peer can be admitted
  };
  Reason reason;
  uid_t uid;

  /// Returns what would admit the peer, for the parentheses at the end of a diagnostic. The option
  /// that it names exists in every program that judges peers.
  std::string_view remedy() const;
};

/// Judges a user, where `own` is the user of this process. Returns nothing if the user is that one,
/// root or one of `allowed`. The overflow uid is refused even if it is allowed, unless every uid is
/// mapped.
std::optional<RefusedPeer> judge_user(uid_t uid, uid_t own, std::span<const uid_t> allowed,
                                      const DistinctUsers& users);

/// Judges the peers of Unix sockets: processes that connect and processes that listen.
class PeerJudge {
 public:
  /// Admits the user of this process, root and `allowed`.
  explicit PeerJudge(std::vector<uid_t> allowed = {});

  /// Returns nothing if the peer of this connected Unix socket is admitted. Throws SystemError if
  /// it is not a socket.
  std::optional<RefusedPeer> refuse(int socket) const;

 private:
  std::vector<uid_t> allowed_;
  DistinctUsers users_;
};

}  // namespace handoff
