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

/// A successor's process, as an upgrade needs it.
class SuccessorProcess {
 public:
  virtual ~SuccessorProcess() = default;

  virtual pid_t pid() const = 0;
  /// Readable once it has ended. Owned by this object.
  virtual int ended_fd() const = 0;
  virtual bool has_ended() const = 0;
  /// Kills it, and returns how it has ended; blocks until it has.
  virtual ExitStatus kill_and_reap() = 0;
};

/// Starts a successor that has this end of a channel. Throws SystemError; then none runs.
using SpawnSuccessor = std::function<std::unique_ptr<SuccessorProcess>(Fd channel)>;

/// How a master is started again.
struct SuccessorCommand {
  std::string program;            ///< the path that is executed
  std::vector<std::string> argv;  ///< as this process got it
  Duration ready_timeout{};
};

/// Starts the program with all of `sockets`, and with what tells it of the service manager. Then
/// calls `started`: if that throws, the new process is killed, or else it would serve as if this
/// one had died.
std::unique_ptr<SuccessorProcess> spawn_successor(const SuccessorCommand& command,
                                                  const SocketsToInherit& sockets,
                                                  const ServiceManager& manager,
                                                  const std::function<void(const Child&)>& started);

}  // namespace handoff
