// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "async/reactor.hpp"
#include "async/task.hpp"
#include "os/host_lookup.hpp"

namespace handoff {

/// Looks up the names of hosts on threads of their own, so that a name server that does not answer
/// holds up neither a reactor nor a deadline nor a signal.
///
/// There is one thread for each name that is being looked up: a lookup under way is shared by all
/// that ask for the same name, on any reactor. getaddrinfo(3) can't be interrupted; its thread is
/// left behind at a deadline, and ends by itself or with the process, whose exit does not wait for
/// it.
class Resolver {
 public:
  using LookUp = std::function<HostLookup(const std::string& host)>;

  /// `look_up` may block, is called on other threads, and must be valid until its last call
  /// returns, even after the end of this object.
  explicit Resolver(LookUp look_up);
  /// The one that asks the name service.
  static Resolver& system();

  /// Waits for the addresses of the host; gives nothing when the deadline has passed before. The
  /// resolver and the reactor must outlive the task.
  Task<std::optional<HostLookup>> look_up(Reactor& reactor, std::string host, TimePoint deadline);

 private:
  class Job;
  struct Jobs;

  std::shared_ptr<Job> job_for(const std::string& host);

  std::shared_ptr<Jobs> jobs_;
};

}  // namespace handoff
