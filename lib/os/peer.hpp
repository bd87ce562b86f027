// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "os/fd.hpp"

/// Who is at the other end of a Unix socket, and whether it may be there.
namespace handoff {

/// The process at the other end of a connected Unix socket (SO_PEERCRED, unix(7)), as it was when
/// it connected, made the pair, or called listen(2): a listener that a service manager made for
/// another user shows the manager.
struct PeerCredentials {
  pid_t pid = 0;  ///< 0 for a process of another PID namespace
  uid_t uid = 0;  ///< the overflow uid for a user that our user namespace does not map
};

/// Throws SystemError when `socket` is no socket.
PeerCredentials peer_credentials(int socket);

/// A descriptor that becomes readable when that process has ended (a pidfd). Invalid when the
/// process is not known, has ended already, or the kernel gives none.
Fd peer_process(int socket);

/// Which users a process can tell apart: in a user namespace all that are not mapped read as one
/// uid, the overflow uid, which can also be that of a user who is mapped (user_namespaces(7)).
struct DistinctUsers {
  enum class Mapped { none, some, all };

  uid_t overflow_uid = 65534;
  Mapped mapped = Mapped::some;

  /// From the texts of /proc/sys/kernel/overflowuid and /proc/PID/uid_map. A number that cannot be
  /// read is 65534, the kernel's default.
  static DistinctUsers from(std::string_view overflow_uid, std::string_view uid_map);
  /// Reads /proc. Without it some users count as mapped and some as not.
  static DistinctUsers of_this_process();
};

/// A peer that may not be there.
struct RefusedPeer {
  enum class Reason {
    another_user,    ///< one who is neither this process's user, nor root, nor allowed
    ambiguous_user,  ///< the overflow uid, which several users have here
    every_user,      ///< the same where no user is mapped at all: nobody can be let in
  };
  Reason reason;
  uid_t uid;

  /// What lets the peer in, as it stands in parentheses at the end of a diagnostic. The option that
  /// it names is one of every program that judges peers.
  std::string_view remedy() const;
};

/// Judges a user where this process's own is `own`: nothing when it is that one, root or one of
/// `allowed`. The overflow uid is refused whatever is allowed, unless every uid is mapped.
std::optional<RefusedPeer> judge_user(uid_t uid, uid_t own, std::span<const uid_t> allowed,
                                      const DistinctUsers& users);

/// Judges the peers of Unix sockets, those that connect and those that listen.
class PeerJudge {
 public:
  /// This process's user, root and these may be there.
  explicit PeerJudge(std::vector<uid_t> allowed = {});

  /// Nothing when the peer of this connected Unix socket may be there. Throws SystemError when it
  /// is no socket.
  std::optional<RefusedPeer> refuse(int socket) const;

 private:
  std::vector<uid_t> allowed_;
  DistinctUsers users_;
};

}  // namespace handoff
