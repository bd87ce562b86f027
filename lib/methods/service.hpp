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

/// A command that is kept running and speaks the protocol's own lines, for one method or for all
/// that begin with a prefix: a pool of ServiceProcesses. Each is started when it is first needed.
/// A call goes to the one that has the fewest; those for which none has room wait in turn.
class Service {
 public:
  struct Limits {
    std::size_t pool_size = 1;
    std::size_t max_calls = 1;  ///< of one process at a time, if its replies carry ids
    CoprocessTimes times{};
  };

  /// `name` is that of the method, or its pattern; the references must outlive this object.
  Service(Reactor& reactor, ChildRunner& runner, std::string_view name, std::string command,
          Limits limits);
  /// The same for processes that `start` starts.
  Service(Reactor& reactor, const ProcessOptions& options, StartChild start, Limits limits);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  Task<Result> call(Call call);

 private:
  /// A call's place among those that wait for room, the first of which is woken for it.
  struct Place;

  /// One that takes a call now, which may be started for it; none when all are at their limit.
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
