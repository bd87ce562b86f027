// SPDX-License-Identifier: MIT
#include "commands/receive.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "async/signal_watcher.hpp"
#include "commands/received_json.hpp"
#include "os/error.hpp"
#include "os/printable.hpp"
#include "os/program_path.hpp"
#include "pass/fd_passing.hpp"
#include "pass/handover.hpp"
#include "wire/errors.hpp"
#include "wire/limits.hpp"

namespace handoff {
namespace {

/// The most lines within a second about senders that failed.
constexpr std::size_t kSenderBurst = 32;

}  // namespace

ReceiveCommand::ReceiveCommand(Reactor& reactor, const SignalMask& signals, ReceiveOptions options,
                               StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      report_failed_(
          reactor, [&log](std::string_view line) { log.error(line); }, kSenderBurst),
      signals_(signals),
      rendezvous_(reactor, options_.rendezvous, log),
      senders_(reactor, limits::kMaxSenders, limits::kSenderTimeout),
      processes_(reactor, options_, log, report_failed_, [this] { changed_.notify_all(); }),
      output_(reactor),
      printing_(reactor, 1, limits::kMaxSenders),
      changed_(reactor) {
  if (!options_.command.empty()) { find_program(options_.command.front()); }
}

Task<Received> ReceiveCommand::run() {
  reactor_.spawn(output_.run());
  reactor_.spawn(
      watch_signals(reactor_, signals_, [this](ReceivedSignal signal) { handle_signal(signal); }));
  reactor_.spawn(accept_senders());
  co_await changed_.wait_until([this] { return is_over(); });
  if (error_) { std::rethrow_exception(error_); }
  co_return std::move(received_);
}

bool ReceiveCommand::is_over() const {
  if (error_) { return true; }
  // Without `keep` the first message ends it; with `keep` the commands and the output under way end
  // first.
  return stopping_ && (!options_.keep || (printing_now_ == 0 && processes_.running() == 0));
}

/// Each sender has a coroutine: one that connects and sends nothing does not delay the others.
Task<void> ReceiveCommand::accept_senders() {
  try {
    while (auto socket = co_await rendezvous_.next()) {
      const auto origin = rendezvous_.listens() ? Sender::Origin::accepted : Sender::Origin::given;
      reactor_.spawn(receive_from(senders_.add(*std::move(socket), origin)));
      co_await senders_.room();
    }
  } catch (...) { error_ = std::current_exception(); }
  changed_.notify_all();
}

// The sender stays in `senders_` until this task removes it.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> ReceiveCommand::receive_from(Sender& sender) {
  const bool is_only_one = sender.origin == Sender::Origin::given;
  try {
    co_await receive_messages(sender);
  } catch (const std::exception& error) {
    if (is_only_one || !options_.keep) {
      error_ = std::current_exception();
    } else {
      report_failed_(error.what());  // one sender of many does not end fdrecv
    }
  }
  senders_.remove(sender);
  if (is_only_one) { stopping_ = true; }
  changed_.notify_all();
}

// The sender stays in `senders_` until receive_from, which awaits this task, removes it.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> ReceiveCommand::receive_messages(Sender& sender) {
  HandoverReceiver receiver(sender.socket.get(), rendezvous_.name());
  bool any = false;
  while (!stopping_) {
    std::optional<Received> received = co_await receive_message(sender, receiver);
    if (!received) { break; }
    any = true;
    if (starts_processes()) {
      // The place is taken after the message: a sender that sends nothing holds none.
      co_await processes_.take_place();
      if (stopping_) {
        processes_.give_place_back();
        break;
      }
    }
    if (options_.json && !co_await print(*received)) { break; }
    const bool confirm = received->confirm;
    take(*std::move(received));
    const char confirmation = handover::kConfirmation;
    if (confirm) { send_fds(sender.socket.get(), {&confirmation, 1}, {}); }
    senders_.end_message(sender);
  }
  if (!any && !options_.keep && !rendezvous_.listens()) {
    throw ProtocolError(fmt::format("cannot receive on {}: the sender closed and sent nothing",
                                    rendezvous_.name()));
  }
}

/// The loop looks at the socket once more after a deadline, and only then gives up.
// receive_messages keeps the sender and the receiver, and awaits this task.
// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<std::optional<Received>> ReceiveCommand::receive_message(Sender& sender,
                                                              HandoverReceiver& receiver) {
  // NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
  using Step = HandoverReceiver::Step;
  bool late = false;
  // Another sender's message may have been the last one that was wanted, in this very turn of the
  // loop.
  while (!stopping_) {
    const bool was_within = receiver.is_within_message();
    const Step step = receiver.step();
    if (step == Step::end) { co_return std::nullopt; }
    if (step == Step::message || (receiver.is_within_message() && !was_within)) {
      senders_.begin_message(sender);
      late = false;
    }
    if (step == Step::message) {
      Received received = receiver.take();
      check_count(received.descriptors.size());
      co_return received;
    }
    // Bytes that arrived while the deadline passed were read first.
    if (late) {
      give_up_on_sender();
      co_return std::nullopt;
    }
    const TimePoint limit = std::min(sender.deadline, rendezvous_.deadline());
    if (step == Step::would_block) {
      const WaitTimeout deadline(sender.watcher, limit);
      co_await sender.watcher.readable();
    } else {
      co_await reactor_.yield();
    }
    late = sender.dismissed || Clock::now() >= limit;
  }
  co_return std::nullopt;
}

/// Throws TimedOut if the deadline that has passed is that of fdrecv itself.
void ReceiveCommand::give_up_on_sender() {
  if (Clock::now() >= rendezvous_.deadline()) {
    throw TimedOut(fmt::format("cannot receive on {}: {}", rendezvous_.name(),
                               rendezvous_.limit().timed_out()));
  }
  report_failed_(
      fmt::format("cannot receive on {}: a sender that has sent no whole message is closed: "
                  "timed out after {}",
                  rendezvous_.name(), duration_text(limits::kSenderTimeout)));
}

void ReceiveCommand::check_count(std::size_t count) const {
  if (count == 0) {
    throw ProtocolError(
        fmt::format("cannot receive on {}: bytes came without a descriptor", rendezvous_.name()));
  }
  const bool any_number =
      options_.json || options_.placement == ReceiveOptions::Placement::listen_fds;
  const std::size_t expected =
      options_.placement == ReceiveOptions::Placement::numbers ? options_.numbers.size() : 1;
  if (any_number || count == expected) { return; }
  throw ProtocolError(fmt::format("cannot receive on {}: {} descriptors came where {} was expected",
                                  rendezvous_.name(), count, expected));
}

void ReceiveCommand::take(Received received) {
  ++taken_;
  if (!options_.keep || taken_ == options_.count) { stop(); }
  if (starts_processes()) {
    processes_.start(received);
  } else {
    received_ = std::move(received);
  }
}

/// The sender is sent its confirmation only after the lines are written. Returns false if other
/// senders have sent everything that was wanted meanwhile.
// The caller has the message in its own frame, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<bool> ReceiveCommand::print(const Received& received) {
  co_await printing_.acquire();
  const SemaphorePlace place(printing_);
  if (stopping_) { co_return false; }
  ++printing_now_;
  const std::string lines = lines_about(received);
  output_.add(isatty(STDOUT_FILENO) == 1 ? printable_json(lines) : lines);
  co_await output_.drained();
  --printing_now_;
  co_return true;
}

/// With `keep` the first signal lets running commands finish.
void ReceiveCommand::handle_signal(const ReceivedSignal& signal) {
  if (!options_.keep || stopping_) {
    end_by_signal(signal.number);
    throw TimedOut(fmt::format("cannot receive on {}: ended by a signal", rendezvous_.name()));
  }
  stop();
}

void ReceiveCommand::stop() {
  stopping_ = true;
  rendezvous_.stop();
  changed_.notify_all();
}

}  // namespace handoff
