// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "os/process.hpp"
#include "rpc/handlers.hpp"

namespace handoff {

/// How the commands behind methods are run.
struct CommandOptions {
  std::vector<std::string> environment_names;  ///< handed to commands besides the usual few
  bool text = false;                           ///< output that is no JSON becomes a string
  std::size_t max_output = 1024 * 1024;        ///< of stdout; more is an error
};

/// The commands behind methods: makes their handlers, and knows what runs.
class Commands {
 public:
  Commands(Reactor& reactor, CommandOptions options);
  Commands(const Commands&) = delete;
  Commands& operator=(const Commands&) = delete;

  /// A method that runs `sh -c COMMAND` for each call: params on stdin (a sealed file), result on
  /// stdout, the rest of the call in RPC_METHOD, RPC_PEER and RPC_ID. This object must outlive it.
  ///
  /// The command gets descriptors 0 to 2, a short environment, a process group of its own and no
  /// new privileges. It is over when the shell ends, at the call's deadline, or when the call is
  /// dropped: what is left of it is killed then, processes that left its group too. No output is
  /// the result null.
  Handler handler(std::string command);

  /// What the environment of every process of a worker's commands has a variable that starts with.
  /// Whoever outlives the worker can find them by it.
  static std::string mark_of(pid_t worker);

 private:
  struct Run;
  class Running;

  Task<Result> run(const std::string& command, Call call);
  Child start(const std::string& command, const Call& call, const std::string& mark, int out,
              int err) const;

  Reactor& reactor_;
  CommandOptions options_;
  std::set<pid_t> running_;
  std::uint64_t started_ = 0;
};

}  // namespace handoff
