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
/// there is one; otherwise all functions do nothing. They never block and never fail: a manager
/// that does not listen is no reason to stop.
class ServiceManager {
 public:
  /// Reads the environment of this process.
  ServiceManager();

  /// Returns whether a service manager listens now: the variable may have been inherited from a
  /// service that ended long ago. Returns false if that cannot be found out.
  bool is_there() const;

  /// Tells the manager that the service is ready.
  void ready() const { send("READY=1"); }
  /// Tells the manager that the service reads its configuration again; ready() must follow.
  void reloading() const;
  /// Tells the manager that the service stops.
  void stopping() const { send("STOPPING=1"); }
  /// Gives the manager a line about the state of the service.
  void status(std::string_view text) const;
  /// Tells the manager that process `pid` is the service from now on.
  void main_pid(pid_t pid) const;
  /// Gives the manager a sign of life.
  void watchdog() const { send("WATCHDOG=1"); }

  /// Returns the time between calls of watchdog(), if the manager expects them: half of what it
  /// tolerates.
  std::optional<std::chrono::microseconds> watchdog_interval() const { return interval_; }
  /// Returns the environment variables that tell a successor about the manager.
  std::vector<std::string> variables() const;

 private:
  Fd connect() const;
  void send(std::string_view message) const;

  std::string socket_;
  std::optional<std::chrono::microseconds> interval_;
};

}  // namespace handoff
