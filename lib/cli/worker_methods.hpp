// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "async/reactor.hpp"
#include "cli/worker_main.hpp"
#include "cli/worker_options.hpp"
#include "methods/child_runner.hpp"
#include "methods/coprocess.hpp"
#include "methods/service.hpp"
#include "methods/upstream.hpp"
#include "rpc/method_table.hpp"

namespace handoff {

/// The methods that the command line names, and what answers them; of one reactor.
class WorkerMethods {
 public:
  /// All of these must outlive it. `adding` is locked while `add_own` runs.
  WorkerMethods(Reactor& reactor, ChildRunner& runner, const WorkerToolOptions& options,
                const AddMethods& add_own, std::mutex& adding);

  /// A table of all of them, the directories as they are now. What was named one by one goes
  /// before what was found, and that before what is built in.
  std::shared_ptr<const MethodTable> make();

 private:
  void add_own_methods(MethodTable& table);

  Reactor& reactor_;
  const WorkerToolOptions& options_;
  const AddMethods& add_own_;
  std::mutex& adding_;
  ChildRunner& runner_;
  std::vector<std::pair<std::string, std::unique_ptr<Coprocess>>> coprocesses_;
  std::vector<std::pair<std::string, std::unique_ptr<Service>>> services_;
  std::map<std::string, std::unique_ptr<Upstream>> servers_;  ///< by address
  std::vector<std::pair<std::string, Upstream*>> forwards_;
};

}  // namespace handoff
