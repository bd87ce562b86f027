// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <handoff/async/reactor.hpp>
#include <handoff/async/task.hpp>
#include <handoff/rpc/method_table.hpp>

#include "async/semaphore.hpp"
#include "methods/child_runner.hpp"
#include "methods/coprocess_child.hpp"

namespace handoff {

/// A command that is kept running: it reads the params of each call as a line of JSON from its
/// stdin, and writes the result as a line of JSON to its stdout. A pool of such processes answers
/// one call each at a time; further calls wait in turn. Each process is started when it is first
/// needed.
///
/// A process that ends during a call, does not answer in time, or writes anything but one line of
/// JSON is killed; its call gets an error, and the next call starts another process. So no call
/// gets an answer that was meant for another. The one thing that cannot be seen is a second line
/// that is written only after the next call has begun. A program that writes two lines always does
/// so, which is why the first answer of each process is passed on only after it has been silent for
/// a moment.
class Coprocess {
 public:
  /// `name` is the name of the method. The referenced objects must outlive this one.
  Coprocess(Reactor& reactor, ChildRunner& runner, std::string_view name, std::string command,
            std::size_t pool_size);
  /// Does the same with processes that `start` starts.
  Coprocess(Reactor& reactor, const ProcessOptions& options, StartChild start,
            std::size_t pool_size, CoprocessTimes times = {});
  Coprocess(const Coprocess&) = delete;
  Coprocess& operator=(const Coprocess&) = delete;

  /// Has a process answer the call; see above. The task throws SystemError if no process can be
  /// started. This object must outlive the task.
  Task<Result> call(Call call);

 private:
  class Loan;

  std::shared_ptr<CoprocessChild> take_child();
  Task<Result> exchange(Loan& loan, const Call& call);

  Reactor& reactor_;
  const ProcessOptions& options_;
  StartChild start_;
  StderrLines::Say log_;
  CoprocessTimes times_;
  Semaphore free_;
  std::vector<std::shared_ptr<CoprocessChild>> idle_;
  std::array<char, 32 * 1024> buffer_;  ///< used only between two waits
};

}  // namespace handoff
