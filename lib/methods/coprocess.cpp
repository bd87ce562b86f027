// SPDX-License-Identifier: MIT
#include "methods/coprocess.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include <handoff/wire/json_text.hpp>

#include "methods/output_result.hpp"

namespace handoff {
namespace {

using Phase = CoprocessPhase;

}  // namespace

/// A process while a call uses it. When the call is over or dropped, the process goes back to the
/// pool if it can be used again. Otherwise it is killed, because what it writes later would answer
/// another call.
class Coprocess::Loan {
 public:
  Loan(Coprocess& owner, std::shared_ptr<CoprocessChild> child)
      : owner_(owner), child_(std::move(child)) {}
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() {
    child_->handle(end_);
    if (child_->phase() == Phase::idle) { owner_.idle_.push_back(std::move(child_)); }
  }

  const std::shared_ptr<CoprocessChild>& child() const { return child_; }
  /// Says that the process can be used again.
  void set_answered() { end_ = CoprocessEvent::answered; }

 private:
  Coprocess& owner_;
  std::shared_ptr<CoprocessChild> child_;
  CoprocessEvent end_ = CoprocessEvent::failed;
};

Coprocess::Coprocess(Reactor& reactor, ChildRunner& runner, std::string_view name,
                     std::string command, std::size_t pool_size)
    : Coprocess(reactor, runner.options(), starting_shell(runner, name, std::move(command)),
                pool_size) {
  log_ = runner.log_of(name);
}

Coprocess::Coprocess(Reactor& reactor, const ProcessOptions& options, StartChild start,
                     std::size_t pool_size, CoprocessTimes times)
    : reactor_(reactor),
      options_(options),
      start_(std::move(start)),
      times_(times),
      free_(reactor, pool_size, std::numeric_limits<std::size_t>::max()) {}

Task<Result> Coprocess::call(Call call) {
  if (co_await free_.acquire(call.deadline) != Semaphore::Outcome::acquired) {
    co_return Result::error(ErrorCode::timed_out, "no coprocess was free in time");
  }
  const SemaphorePlace place(free_);
  Loan loan(*this, take_child());
  co_return co_await exchange(loan, call);
}

/// Returns the idle process that was used last and has neither ended nor written anything since, or
/// else a new one.
std::shared_ptr<CoprocessChild> Coprocess::take_child() {
  while (!idle_.empty()) {
    std::shared_ptr<CoprocessChild> child = std::move(idle_.back());
    idle_.pop_back();
    if (child->is_quiet(buffer_)) {
      child->handle(CoprocessEvent::lent);
      return child;
    }
    child->handle(CoprocessEvent::discarded);
  }
  return CoprocessChild::start(reactor_, start_, log_);
}

// The caller has both in its own frame, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Result> Coprocess::exchange(Loan& loan, const Call& call) {
  const std::shared_ptr<CoprocessChild> child = loan.child();
  const bool is_first = child->phase() == Phase::fresh;
  child->ask(minify_json(call.params) + "\n");

  std::string answer;
  MemoryBudget::Share held(*options_.memory);
  std::size_t end = std::string::npos;
  WaitTimeout limit(child->watcher(), call.deadline);
  while (end == std::string::npos && answer.size() <= options_.max_output) {
    const IoResult result = child->try_read(buffer_);
    if (result.done()) {
      const std::string_view bytes(buffer_.data(), result.size);
      const std::size_t newline = bytes.find('\n');
      if (newline != std::string_view::npos) { end = answer.size() + newline; }
      answer.append(bytes);
      held.set(answer.size());
    } else if (result.outcome != IoResult::Outcome::would_block ||
               child->phase() == Phase::exited) {
      // Other processes may keep its output open after it has ended.
      co_return co_await CoprocessChild::result_of_end(child, times_.exit);
    } else if (!co_await child->readable() && child->phase() != Phase::exited) {
      co_return child->too_late(answer.empty() ? Written::nothing : Written::part);
    }
  }
  if (std::min(end, answer.size()) > options_.max_output) {
    co_return Result::error(
        ErrorCode::handler_failed,
        fmt::format("the coprocess's line exceeds the limit of {} bytes", options_.max_output));
  }
  bool quiet = true;
  if (is_first && end + 1 == answer.size()) {
    WaitTimeout settle(child->watcher(), reactor_.now() + times_.settle);
    if (co_await child->readable()) {
      const IoResult more = child->try_read(buffer_);
      if (more.done()) { answer.append(buffer_.data(), more.size); }
      quiet = more.outcome == IoResult::Outcome::would_block;
    }
  }
  if (end + 1 != answer.size()) {
    co_return Result::error(ErrorCode::handler_failed, "the coprocess wrote more than one line");
  }
  answer.resize(end);
  if (answer.ends_with('\r')) { answer.pop_back(); }
  Result result = result_of_output(std::move(answer), options_.form(), "the coprocess's line");
  // A process that has not read the whole request has answered before it knew the question.
  if (quiet && child->has_read_all() && !result.is_error()) { loan.set_answered(); }
  co_return result;
}

}  // namespace handoff
