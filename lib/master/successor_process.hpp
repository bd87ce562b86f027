// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "master/inherited_sockets.hpp"
#include "os/child.hpp"
#include "os/fd.hpp"
#include "os/service_manager.hpp"

namespace handoff {

/// The process of a successor, as an upgrade needs it.
class SuccessorProcess {
 public:
  virtual ~SuccessorProcess() = default;

  virtual pid_t pid() const = 0;
  /// Returns a descriptor that is readable when the process has ended. Owned by this object.
  virtual int ended_fd() const = 0;
  /// Returns whether it has ended. Does not block.
  virtual bool has_ended() const = 0;
  /// Kills the process, and returns how it has ended; blocks until it has.
  virtual ExitStatus kill_and_reap() = 0;
};

/// Starts a successor with this end of a channel, which it takes over. Throws SystemError; no
/// process runs then.
using SpawnSuccessor = std::function<std::unique_ptr<SuccessorProcess>(Fd channel)>;

/// How a successor is started.
struct SuccessorCommand {
  std::string program;            ///< the path that is executed
  std::vector<std::string> argv;  ///< the arguments that this process was started with
  Duration ready_timeout{};
};

/// Starts the program with all of `sockets`, and with the variables that describe the service
/// manager. Then calls `started`: if that throws, the new process is killed, because it would
/// otherwise serve as if this one had died. Throws SystemError.
std::unique_ptr<SuccessorProcess> spawn_successor(const SuccessorCommand& command,
                                                  const SocketsToInherit& sockets,
                                                  const ServiceManager& manager,
                                                  const std::function<void(const Child&)>& started);

}  // namespace handoff
