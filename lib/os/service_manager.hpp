// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/fd.hpp"

namespace handoff {

/// The service manager's notification socket (sd_notify(3), NOTIFY_SOCKET and WATCHDOG_USEC), if
/// there is one; otherwise everything here does nothing. Never blocks and never fails: a manager
/// that does not listen is no reason to stop.
class ServiceManager {
 public:
  /// Reads the environment.
  ServiceManager();

  /// Whether a service manager listens now: the variable may have been inherited from a service
  /// that has long ended. False when that cannot be told.
  bool is_there() const;

  void ready() const { send("READY=1"); }
  /// To be followed by ready().
  void reloading() const;
  void stopping() const { send("STOPPING=1"); }
  void status(std::string_view text) const;
  /// From now on the service is that process.
  void main_pid(pid_t pid) const;
  void watchdog() const { send("WATCHDOG=1"); }

  /// How often watchdog() is expected, if it is: half of what the manager would bear.
  std::optional<std::chrono::microseconds> watchdog_interval() const { return interval_; }
  /// The environment variables that tell a successor of the manager.
  std::vector<std::string> variables() const;

 private:
  Fd connect() const;
  void send(std::string_view message) const;

  std::string socket_;
  std::optional<std::chrono::microseconds> interval_;
};

}  // namespace handoff
