// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/rpc/method_table.hpp>

#include "methods/child_runner.hpp"
#include "methods/service_process.hpp"

namespace handoff {

/// A command that is kept running and speaks the protocol of the programs themselves, a request or
/// reply per line, for one method or for all whose names begin with a prefix. It is a pool of
/// ServiceProcesses, each of which is started when it is first needed. A call goes to the process
/// that has the fewest calls; calls for which no process has room wait in turn. Used on the
/// reactor's thread only.
class Service {
 public:
  struct Limits {
    std::size_t pool_size = 1;
    /// The most calls of one process at a time, if its replies carry ids.
    std::size_t max_calls = 1;
    CoprocessTimes times{};
  };

  /// `name` is the name or the pattern of the method. The referenced objects must outlive this one.
  Service(Reactor& reactor, ChildRunner& runner, std::string_view name, std::string command,
          Limits limits);
  /// Does the same with processes that `start` starts.
  Service(Reactor& reactor, const ProcessOptions& options, StartChild start, Limits limits);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  /// Kills the processes; their calls get an error.
  ~Service();

  /// Has a process answer the call; see above. The task throws SystemError if a process cannot be
  /// started. This object must outlive the task.
  Task<Result> call(Call call);

 private:
  /// A call's place among those that wait for room; the first of them is woken when there may be
  /// some.
  struct Place;

  /// Returns a process that takes a call now, and that may be started for it; null if all are at
  /// their limit.
  std::shared_ptr<ServiceProcess> find_process();
  std::shared_ptr<ServiceProcess> start_process();
  void wake_first();

  Reactor& reactor_;
  const ProcessOptions& options_;
  StartChild start_;
  StderrLines::Say log_;
  Limits limits_;
  std::vector<std::shared_ptr<ServiceProcess>> processes_;
  std::deque<Place*> waiting_;
};

}  // namespace handoff
