// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

namespace handoff {

struct SpawnOptions;

/// Descriptors that a program is given at its start, as a service manager gives a program its
/// listeners (sd_listen_fds(3)): they have the numbers from this one on, without a gap.
inline constexpr int kFirstListenFd = 3;

/// How many descriptors this process was given: the value of LISTEN_FDS when LISTEN_PID is our own
/// process id, else 0. They stay as they are: open, and not owned by anybody yet.
int count_listen_fds();

/// Tells the child in LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID that it has so many descriptors
/// from kFirstListenFd on, which have these names. A name is printable ASCII without a colon. The
/// caller puts the descriptors there (SpawnOptions::descriptors).
void give_listen_fds(SpawnOptions& options, const std::vector<std::string>& names);

/// LISTEN_PID for a child, which knows its own number only once it runs, where it may not allocate.
class ListenPidVariable {
 public:
  ListenPidVariable();
  /// "LISTEN_PID=", with the number once that is written. Valid as long as this object stays where
  /// it is.
  char* text() { return text_.data(); }
  /// Neither allocates nor throws.
  void write(pid_t pid) noexcept;

 private:
  std::array<char, 32> text_{};
};

}  // namespace handoff
