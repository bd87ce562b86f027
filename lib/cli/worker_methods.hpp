// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/cli/worker_main.hpp>
#include <handoff/rpc/method_table.hpp>

#include "cli/worker_options.hpp"
#include "methods/child_runner.hpp"
#include "methods/coprocess.hpp"
#include "methods/service.hpp"
#include "methods/upstream_pool.hpp"

namespace handoff {

/// Makes the tables of the methods that the command line names, for one reactor, and owns what
/// answers them.
class WorkerMethods {
 public:
  /// All arguments must outlive this object. `adding` is locked while `add_own` runs. Throws
  /// InvalidArgument.
  WorkerMethods(Reactor& reactor, ChildRunner& runner, const WorkerToolOptions& options,
                const AddMethods& add_own, std::mutex& adding);

  /// Returns a table of all methods, with the directories as they are now. A method that was named
  /// by itself hides one that was found in a directory, and that hides a built-in one. The table
  /// must not outlive this object. Throws SystemError if a directory cannot be listed, and
  /// InvalidArgument for a name that is given twice.
  std::shared_ptr<const MethodTable> make();

 private:
  /// Adds the methods of AddMethods.
  void add_own_methods(MethodTable& table);

  Reactor& reactor_;
  const WorkerToolOptions& options_;
  const AddMethods& add_own_;
  std::mutex& adding_;
  ChildRunner& runner_;
  std::vector<std::pair<std::string, std::unique_ptr<Coprocess>>> coprocesses_;
  std::vector<std::pair<std::string, std::unique_ptr<Service>>> services_;
  std::map<std::string, std::unique_ptr<UpstreamPool>> servers_;  ///< by their addresses
  std::vector<std::pair<std::string, UpstreamPool*>> forwards_;
};

}  // namespace handoff
