// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "async/reactor.hpp"
#include "async/semaphore.hpp"
#include "async/task.hpp"
#include "methods/child_runner.hpp"
#include "rpc/method_table.hpp"

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
  Coprocess(Reactor& reactor, ChildRunner& runner, std::string name, std::string command,
            std::size_t pool_size);
  Coprocess(const Coprocess&) = delete;
  Coprocess& operator=(const Coprocess&) = delete;
  ~Coprocess();

  Task<Result> call(Call call);

 private:
  struct Member;
  class Loan;

  std::shared_ptr<Member> take_member();
  std::shared_ptr<Member> start();
  Task<Result> exchange(std::shared_ptr<Member> member, const Call& call, bool& usable);
  static Result too_late(const Member& member, bool wrote_nothing);
  Task<Result> died(std::shared_ptr<Member> member);
  static Task<void> write_rest(std::shared_ptr<Member> member);
  static void lose(Member& member);
  static Task<void> watch_exit(std::shared_ptr<Member> member);
  static Task<void> collect_errors(std::shared_ptr<Member> member);

  Reactor& reactor_;
  ChildRunner& runner_;
  std::string name_;
  std::string command_;
  Semaphore free_;
  std::vector<std::shared_ptr<Member>> idle_;
  std::array<char, 32 * 1024> buffer_;  ///< used between two waits only
};

}  // namespace handoff
