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
/// delays neither a reactor nor a deadline nor a signal. Any thread may use it.
///
/// Each name that is being looked up has one thread, which all lookups of the same name share, on
/// any reactor. getaddrinfo(3) cannot be interrupted: at a deadline its thread is abandoned. It
/// ends by itself or with the process, whose exit does not wait for it.
class Resolver {
 public:
  /// Looks a host up and returns its addresses or a failure. See look_up_host().
  using LookUp = std::function<HostLookup(const std::string& host)>;

  /// `look_up` may block. It is called on other threads, and must stay valid until its last call
  /// returns, even after this object is destroyed.
  explicit Resolver(LookUp look_up);
  /// Returns the resolver that asks the name service of the system.
  static Resolver& system();

  /// Waits for the addresses of the host, whose ports the caller sets. Returns nothing if the
  /// deadline passed first. A failed lookup is a result, also if no thread could be started. Throws
  /// SystemError if there is no descriptor left. The resolver and the reactor must outlive the
  /// task.
  Task<std::optional<HostLookup>> look_up(Reactor& reactor, std::string host, TimePoint deadline);

 private:
  /// One lookup, and all lookups under way; both are shared with the threads.
  class Job;
  struct Jobs;

  /// Returns the lookup of the host that is under way, or starts one.
  std::shared_ptr<Job> job_for(const std::string& host);

  std::shared_ptr<Jobs> jobs_;
};

}  // namespace handoff
