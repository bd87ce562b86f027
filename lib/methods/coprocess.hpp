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

/// A command that is kept running: it gets the params of each call as a line of JSON on its stdin,
/// and writes a line of JSON to its stdout. A pool of them answers so many calls at a time; further
/// ones wait in turn. Each is started when it is first needed.
///
/// One that ends in the middle of a call, does not answer in time, or writes anything but one line
/// of JSON is killed, its call gets an error, and another takes its place at the next call. So no
/// call gets what was meant for another. What can't be seen is a second line that comes only after
/// the next call has begun; because whoever writes two does so always, the first answer of each is
/// given only when nothing has followed it for a moment.
class Coprocess {
 public:
  /// `name` is that of the method; the references must outlive this object.
  Coprocess(Reactor& reactor, ChildRunner& runner, std::string_view name, std::string command,
            std::size_t pool_size);
  /// The same for processes that `start` starts.
  Coprocess(Reactor& reactor, const ProcessOptions& options, StartChild start,
            std::size_t pool_size, CoprocessTimes times = {});
  Coprocess(const Coprocess&) = delete;
  Coprocess& operator=(const Coprocess&) = delete;

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
  std::array<char, 32 * 1024> buffer_;  ///< used between two waits only
};

}  // namespace handoff
