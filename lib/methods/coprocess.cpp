// SPDX-License-Identifier: MIT
#include "methods/coprocess.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "async/stream.hpp"
#include "methods/command.hpp"
#include "wire/byte_queue.hpp"
#include "wire/json_text.hpp"

namespace handoff {
namespace {

/// How long a fresh coprocess must be quiet behind its first answer.
constexpr auto kSettleTime = std::chrono::milliseconds(5);

/// A process closes its output a moment before it has ended.
constexpr auto kExitTime = std::chrono::milliseconds(100);

constexpr std::string_view kWroteNothing =
    "the coprocess wrote nothing in time; if it buffers its output, run it by `stdbuf -oL`";

/// Names a wait for as long as it may be interrupted.
class Interruptible {
 public:
  Interruptible(Readiness*& name, Readiness& readiness) : name_(name) { name_ = &readiness; }
  Interruptible(const Interruptible&) = delete;
  Interruptible& operator=(const Interruptible&) = delete;
  ~Interruptible() { name_ = nullptr; }

 private:
  Readiness*& name_;
};

}  // namespace

/// One running process, with our ends of its pipes. Shared with the coroutines that wait for them.
struct Coprocess::Member {
  Member(Reactor& reactor, Fd in_end, Fd out_end, Fd err_end)
      : in(reactor, std::move(in_end), Stream::Kind::nonblocking),
        out(reactor, std::move(out_end), Stream::Kind::nonblocking),
        err(reactor, std::move(err_end), Stream::Kind::nonblocking),
        exit(reactor) {}

  std::unique_ptr<Processes::Process> process;
  Readiness* exited = nullptr;  ///< as long as exit_of() waits
  Stream in;
  Stream out;
  Stream err;
  Event exit;
  ByteQueue unsent;
  std::string error_tail;
  bool busy = true;  ///< a call waits for it
  bool settled = false;
  bool ended = false;  ///< by itself; what it wrote before may still be in its pipes
  bool over = false;

  /// Waits until the process of this pidfd has ended, or end() interrupts.
  Task<void> exit_of(int pidfd);
  /// False when nothing more can come.
  bool take_errors();
  /// Kills it, and ends the coroutines that wait for it.
  ExitStatus end();
};

Task<void> Coprocess::Member::exit_of(int pidfd) {
  Readiness readiness(out.reactor(), pidfd);
  const Interruptible interruptible(exited, readiness);
  co_await readiness.readable();
}

bool Coprocess::Member::take_errors() {
  std::array<char, 4096> buffer;
  for (;;) {
    const IoResult result = err.try_read(buffer);
    if (!result.done()) return result.outcome == IoResult::Outcome::would_block;
    error_tail.append(buffer.data(), result.size);
    if (error_tail.size() > kStderrTail) error_tail.erase(0, error_tail.size() - kStderrTail);
  }
}

ExitStatus Coprocess::Member::end() {
  over = true;
  if (exited != nullptr) exited->interrupt();
  const ExitStatus status = process->end();
  take_errors();
  in.interrupt();
  out.interrupt();
  err.interrupt();
  return status;
}

Coprocess::Coprocess(Reactor& reactor, Processes& processes, std::string name, std::string command,
                     std::size_t pool_size)
    : reactor_(reactor),
      processes_(processes),
      name_(std::move(name)),
      command_(std::move(command)),
      free_(reactor, pool_size, std::numeric_limits<std::size_t>::max()) {}

Coprocess::~Coprocess() = default;

/// A member that a call uses. When the call is over or is dropped, it is given back if it may be
/// used again, and killed if not: what it writes later would answer another call.
class Coprocess::Loan {
 public:
  Loan(Coprocess& owner, std::shared_ptr<Member> member)
      : owner_(owner), member_(std::move(member)) {}
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  ~Loan() {
    member_->busy = false;
    if (usable && !member_->ended) {
      owner_.idle_.push_back(member_);
    } else if (!member_->over) {
      member_->end();
    }
  }

  const std::shared_ptr<Member>& member() const { return member_; }

  bool usable = false;

 private:
  Coprocess& owner_;
  std::shared_ptr<Member> member_;
};

Task<Result> Coprocess::call(Call call) {
  if (co_await free_.acquire(call.deadline) != Semaphore::Outcome::acquired) {
    co_return Result::error(ErrorCode::timed_out, "no coprocess was free in time");
  }
  const SemaphorePlace place(free_);
  Loan loan(*this, take_member());
  co_return co_await exchange(loan.member(), call, loan.usable);
}

/// The one that was used last, unless it has ended or written something since.
std::shared_ptr<Coprocess::Member> Coprocess::take_member() {
  while (!idle_.empty()) {
    std::shared_ptr<Member> member = std::move(idle_.back());
    idle_.pop_back();
    if (!member->over && !member->process->has_ended() &&
        member->out.try_read(buffer_).outcome == IoResult::Outcome::would_block) {
      member->busy = true;
      return member;
    }
    if (!member->over) member->end();
  }
  return start();
}

std::shared_ptr<Coprocess::Member> Coprocess::start() {
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  // Our ends are open files of their own: the flag does not reach the coprocess.
  for (const Fd* ours : {&in.write_end, &out.read_end, &err.read_end}) set_nonblocking(ours->get());
  auto member = std::make_shared<Member>(reactor_, std::move(in.write_end), std::move(out.read_end),
                                         std::move(err.read_end));
  member->process.reset(new Processes::Process(
      processes_.start(Program::shell(command_), {"RPC_METHOD=" + name_}, in.read_end.get(),
                       out.write_end.get(), err.write_end.get())));
  reactor_.spawn(collect_errors(member));
  reactor_.spawn(watch_exit(member));
  return member;
}

Task<Result> Coprocess::exchange(std::shared_ptr<Member> member, const Call& call, bool& usable) {
  const std::size_t most = processes_.options().max_output;
  member->unsent.append(minify_json(call.params));
  member->unsent.append("\n");
  const IoResult written = member->in.try_write(member->unsent.bytes());
  member->unsent.consume(written.size);
  // It may write before it has read everything, so the rest must not be waited for.
  if (!member->unsent.empty()) reactor_.spawn(write_rest(member));

  std::string answer;
  MemoryBudget::Share held(*processes_.options().memory);
  std::size_t end = std::string::npos;
  Deadline limit(member->out.readiness(), call.deadline);
  while (end == std::string::npos && answer.size() <= most) {
    const IoResult result = member->out.try_read(buffer_);
    if (result.done()) {
      const std::string_view bytes(buffer_.data(), result.size);
      const std::size_t newline = bytes.find('\n');
      if (newline != std::string_view::npos) end = answer.size() + newline;
      answer.append(bytes);
      held.set(answer.size());
    } else if (result.outcome != IoResult::Outcome::would_block || member->ended) {
      // Others may hold its output open after it has ended.
      co_return co_await died(member);
    } else if (!co_await member->out.readable() && !member->ended) {
      co_return too_late(*member, answer.empty());
    }
  }
  if (std::min(end, answer.size()) > most) {
    co_return Result::error(
        ErrorCode::handler_failed,
        fmt::format("the coprocess's line exceeds the limit of {} bytes", most));
  }
  bool quiet = true;
  if (!member->settled && end + 1 == answer.size()) {
    member->settled = true;
    Deadline settle(member->out.readiness(), reactor_.now() + kSettleTime);
    if (co_await member->out.readable()) {
      const IoResult more = member->out.try_read(buffer_);
      if (more.done()) answer.append(buffer_.data(), more.size);
      quiet = more.outcome == IoResult::Outcome::would_block;
    }
  }
  if (end + 1 != answer.size()) {
    co_return Result::error(ErrorCode::handler_failed, "the coprocess wrote more than one line");
  }
  answer.resize(end);
  if (answer.ends_with('\r')) answer.pop_back();
  Result result =
      result_of_output(std::move(answer), processes_.options().text, "the coprocess's line");
  // One that has not read all of the question has answered before it knew it.
  usable = quiet && member->unsent.empty() && !result.is_error();
  co_return result;
}

/// What it wrote to its stderr tells more than a guess.
Result Coprocess::too_late(const Member& member, bool wrote_nothing) {
  std::string message = "the coprocess wrote no whole line in time";
  if (wrote_nothing) {
    message = member.error_tail.empty() ? kWroteNothing : "the coprocess wrote nothing in time";
  }
  return Result::error(ErrorCode::timed_out, std::move(message), stderr_data(member.error_tail));
}

/// It has closed its output, which most do by ending.
Task<Result> Coprocess::died(std::shared_ptr<Member> member) {
  if (!member->ended && !member->process->has_ended()) {
    const Alarm alarm(reactor_, member->exit, reactor_.now() + kExitTime);
    co_await member->exit;
  }
  const bool ended = member->ended || member->process->has_ended();
  const ExitStatus status = member->end();
  if (!ended) {
    co_return Result::error(ErrorCode::handler_failed, "the coprocess closed its output");
  }
  Result result = failure_of_process(status, member->error_tail);
  result.message = "the coprocess ended: " + result.message;
  co_return result;
}

Task<void> Coprocess::write_rest(std::shared_ptr<Member> member) {
  try {
    while (!member->over && !member->unsent.empty()) {
      const IoResult result = member->in.try_write(member->unsent.bytes());
      member->unsent.consume(result.size);
      if (result.outcome == IoResult::Outcome::broken) break;
      if (result.outcome == IoResult::Outcome::would_block) co_await member->in.writable();
    }
  } catch (const std::exception&) {
    lose(*member);
  }
}

/// One that ends while it is idle leaves nothing behind.
Task<void> Coprocess::watch_exit(std::shared_ptr<Member> member) {
  // A copy: the process may be reaped while this waits.
  const Fd pidfd(fcntl(member->process->pidfd(), F_DUPFD_CLOEXEC, 0));
  if (!pidfd.valid()) co_return;
  try {
    co_await member->exit_of(pidfd.get());
  } catch (const std::exception&) {
    // One that can't be watched is of no use.
  }
  lose(*member);
}

/// It has ended, or nothing can be done with it any more: its call gets an error.
void Coprocess::lose(Member& member) {
  if (member.over) return;
  member.ended = true;
  member.exit.set();
  member.out.interrupt();
  if (!member.busy) member.end();
}

Task<void> Coprocess::collect_errors(std::shared_ptr<Member> member) {
  try {
    while (!member->over && member->take_errors()) co_await member->err.readable();
  } catch (const std::exception&) {
    // What it says there is not needed.
  }
}

}  // namespace handoff
