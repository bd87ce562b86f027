// SPDX-License-Identifier: MIT
#include "methods/coprocess_child.hpp"

#include <fcntl.h>

#include <array>
#include <exception>
#include <utility>

#include "methods/output_result.hpp"

namespace handoff {
namespace {

constexpr std::string_view kWroteNothing =
    "the coprocess wrote nothing in time; if it buffers its output, run it by `stdbuf -oL`";

/// The most bytes that are read of what a killed process has left in a pipe: no ordinary user's
/// pipe holds more (pipe(7), /proc/sys/fs/pipe-max-size).
constexpr std::size_t kMostInPipe = 1024 * 1024;

}  // namespace

//            lent   answered   failed   exited   discarded
//   fresh    -      idle       over     exited   over
//   busy     -      idle       over     exited   over
//   idle     busy   -          -        over     over
//   exited   -      over       over     -        over
//   over     -      -          -        -        -
//
// A process that ends while it is idle leaves nothing to be read. One that has ended during a call
// is over when the call is, however that went.
CoprocessPhase next_phase(CoprocessPhase phase, CoprocessEvent event) {
  using Phase = CoprocessPhase;
  const bool has_call = phase == Phase::fresh || phase == Phase::busy;
  switch (event) {
    case CoprocessEvent::lent: return phase == Phase::idle ? Phase::busy : phase;
    case CoprocessEvent::answered:
      if (has_call) { return Phase::idle; }
      return phase == Phase::exited ? Phase::over : phase;
    case CoprocessEvent::failed: return phase == Phase::idle ? phase : Phase::over;
    case CoprocessEvent::exited:
      if (has_call) { return Phase::exited; }
      return phase == Phase::idle ? Phase::over : phase;
    case CoprocessEvent::discarded: return Phase::over;
  }
  return phase;
}

std::shared_ptr<CoprocessChild> CoprocessChild::start(Reactor& reactor, const StartChild& start,
                                                      StderrLines::Say log) {
  Pipe in = make_pipe();
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  // The ends kept here are open files of their own: the coprocess does not share the flag.
  for (const Fd* ours : {&in.write_end, &out.read_end, &err.read_end}) {
    set_nonblocking(ours->get());
  }
  auto child = start(in.read_end.get(), out.write_end.get(), err.write_end.get());
  Ends ends{std::move(in.write_end), std::move(out.read_end), std::move(err.read_end)};
  std::shared_ptr<CoprocessChild> self(
      new CoprocessChild(reactor, std::move(ends), std::move(child), std::move(log)));
  reactor.spawn(collect_errors(self));
  reactor.spawn(watch_exit(self));
  return self;
}

CoprocessChild::CoprocessChild(Reactor& reactor, Ends ends,
                               std::unique_ptr<ChildRunner::Child> child, StderrLines::Say log)
    : reactor_(reactor),
      child_(std::move(child)),
      exit_fd_(fcntl(child_->pidfd(), F_DUPFD_CLOEXEC, 0)),
      exited_(reactor, exit_fd_.get()),
      in_(reactor, std::move(ends.in), Stream::Kind::nonblocking),
      out_(reactor, std::move(ends.out), Stream::Kind::nonblocking),
      err_(reactor, std::move(ends.err), Stream::Kind::nonblocking),
      exit_(reactor),
      error_lines_(std::move(log)) {}

void CoprocessChild::handle(CoprocessEvent event) {
  const CoprocessPhase next = next_phase(phase_, event);
  if (next != phase_) { enter(next); }
}

void CoprocessChild::enter(CoprocessPhase next) {
  phase_ = next;
  if (next == CoprocessPhase::exited) {
    exit_.set();
    out_.interrupt();
  } else if (next == CoprocessPhase::over) {
    end();
  }
}

/// Kills the process, and ends the coroutines that wait for it.
void CoprocessChild::end() {
  exited_.interrupt();
  status_ = child_->end();
  // The process has ended, so the pipe holds at most as much as fits into it.
  for (std::size_t size = 0; size < kMostInPipe;) {
    const IoResult result = take_errors();
    if (!result.done()) { break; }
    size += result.size;
  }
  error_lines_.finish();
  exit_.set();
  in_.interrupt();
  out_.interrupt();
  err_.interrupt();
}

bool CoprocessChild::is_quiet(std::span<char> buffer) {
  return phase_ == CoprocessPhase::idle && !child_->has_ended() &&
         out_.try_read(buffer).outcome == IoResult::Outcome::would_block;
}

void CoprocessChild::ask(std::string_view line) {
  const bool is_writing = !unsent_.empty();
  unsent_.append(line);
  if (is_writing) { return; }  // write_rest() is writing, and goes on with this line
  const IoResult written = in_.try_write(unsent_.bytes());
  unsent_.consume(written.size);
  if (!unsent_.empty()) { reactor_.spawn(write_rest(shared_from_this())); }
}

/// Waits for the end of the process, which follows a moment after it has closed its output. Returns
/// false if the deadline passes first.
Task<bool> CoprocessChild::wait_for_exit(TimePoint deadline) {
  if (phase_ != CoprocessPhase::exited && !child_->has_ended()) {
    const EventTimeout alarm(reactor_, exit_, deadline);
    co_await exit_;
  }
  co_return phase_ == CoprocessPhase::exited || child_->has_ended();
}

Task<Result> CoprocessChild::result_of_end(std::shared_ptr<CoprocessChild> child,
                                           Duration exit_time) {
  const bool ended = co_await child->wait_for_exit(child->reactor_.now() + exit_time);
  child->handle(CoprocessEvent::failed);
  if (!ended) {
    co_return Result::error(ErrorCode::handler_failed, "the coprocess closed its output");
  }
  Result result = failure_of_process(child->status(), child->error_tail());
  result.message = "the coprocess ended: " + result.message;
  co_return result;
}

/// The process's stderr says more than a guess, which is made only if there is none.
Result CoprocessChild::too_late(Written written) const {
  std::string message = "the coprocess wrote no whole line in time";
  if (written == Written::nothing) {
    message = error_tail_.empty() ? kWroteNothing : "the coprocess wrote nothing in time";
  }
  return Result::error(ErrorCode::timed_out, std::move(message), stderr_data(error_tail_));
}

/// Reads once from what the process has written to its stderr.
IoResult CoprocessChild::take_errors() {
  std::array<char, 4096> buffer;
  const IoResult result = err_.try_read(buffer);
  if (result.done()) {
    const std::string_view bytes(buffer.data(), result.size);
    append_to_tail(error_tail_, bytes);
    error_lines_.add(bytes);
  }
  return result;
}

Task<void> CoprocessChild::watch_exit(std::shared_ptr<CoprocessChild> self) {
  if (!self->exit_fd_.valid()) { co_return; }
  try {
    co_await self->exited_.readable();
  } catch (const std::exception&) {
    // A process that cannot be watched is of no use.
  }
  self->handle(CoprocessEvent::exited);
}

/// One that writes without end does not keep the reactor from the rest.
Task<void> CoprocessChild::collect_errors(std::shared_ptr<CoprocessChild> self) {
  try {
    while (self->phase_ != CoprocessPhase::over) {
      const IoResult result = self->take_errors();
      if (result.done()) {
        co_await self->reactor_.yield();
      } else if (result.outcome == IoResult::Outcome::would_block) {
        co_await self->err_.readable();
      } else {
        break;
      }
    }
  } catch (const std::exception&) {
    // The process's stderr is not needed for an answer.
  }
}

Task<void> CoprocessChild::write_rest(std::shared_ptr<CoprocessChild> self) {
  try {
    while (self->phase_ != CoprocessPhase::over && !self->unsent_.empty()) {
      const IoResult result = self->in_.try_write(self->unsent_.bytes());
      self->unsent_.consume(result.size);
      if (result.outcome == IoResult::Outcome::broken) { break; }
      if (result.outcome == IoResult::Outcome::would_block) { co_await self->in_.writable(); }
    }
  } catch (const std::exception&) {
    self->handle(CoprocessEvent::exited);  // the process will never get the whole request
  }
}

}  // namespace handoff
