// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

namespace handoff {

struct SpawnOptions;

/// The first number of the descriptors that a program is given at its start, as a service manager
/// gives it its listeners (sd_listen_fds(3)); the others follow without a gap.
inline constexpr int kFirstListenFd = 3;

/// Returns how many descriptors this process was given: the value of LISTEN_FDS if LISTEN_PID is
/// its own process id, else 0. They stay open, and no object owns them yet.
int count_listen_fds();

/// Tells the child in LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID that it has descriptors with these
/// names from kFirstListenFd on. A name is printable ASCII without a colon. The caller places the
/// descriptors there (SpawnOptions::descriptors).
void give_listen_fds(SpawnOptions& options, const std::vector<std::string>& names);

/// The variable LISTEN_PID for a child, which learns its own number only when it runs, where it
/// must not allocate.
class ListenPidVariable {
 public:
  ListenPidVariable();
  /// Returns "LISTEN_PID=", followed by the number after write(). Valid for as long as this object
  /// is not moved or destroyed.
  char* text() { return text_.data(); }
  /// Writes the number. Neither allocates nor throws.
  void write(pid_t pid) noexcept;

 private:
  std::array<char, 32> text_{};
};

}  // namespace handoff
