// SPDX-License-Identifier: MIT
#include "commands/receive.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <span>

#include "async/fd_watcher.hpp"
#include "async/signal_watcher.hpp"
#include "os/connection_variables.hpp"
#include "os/describe_fd.hpp"
#include "os/environment.hpp"
#include "os/error.hpp"
#include "os/listen_fds.hpp"
#include "os/printable.hpp"
#include "os/program.hpp"
#include "os/program_path.hpp"
#include "os/spawn.hpp"
#include "pass/fd_passing.hpp"
#include "pass/handover.hpp"
#include "pass/sources.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// Senders that are connected at a time; further ones wait in the backlog.
constexpr std::size_t kMaxSenders = 64;

/// How long an accepted sender may take for a message.
constexpr Duration kPatience = std::chrono::seconds(10);

/// Lines about senders that failed, within a second.
constexpr std::size_t kSenderBurst = 32;

/// How often a command is looked at whose end epoll can't report.
constexpr auto kLookPause = std::chrono::milliseconds(100);

/// The first descriptor of sd_listen_fds(3).
/// Reads from a descriptor whose O_NONBLOCK is not ours to change: blocks where it would. Returns 0
/// at the end.
std::size_t read_received(int descriptor, std::span<char> buffer) {
  for (;;) {
    const ssize_t size = retry([&] { return read(descriptor, buffer.data(), buffer.size()); });
    if (size >= 0) return static_cast<std::size_t>(size);
    if (errno != EAGAIN) throw SystemError(errno, "read", "the received descriptor");
    pollfd ready{descriptor, POLLIN, 0};
    retry([&] { return poll(&ready, 1, -1); });
  }
}

/// What --json prints: a line for each descriptor.
std::string lines_about(const Received& received) {
  std::string lines;
  for (std::size_t i = 0; i < received.descriptors.size(); ++i) {
    nlohmann::ordered_json line;
    if (!received.names[i].empty()) line["name"] = received.names[i];
    for (const auto& [field, value] : describe_descriptor(received.descriptors[i].get())) {
      if (field == "listening") {
        line[field] = true;
      } else {
        line[field] = value;
      }
    }
    using nlohmann::json;
    lines += line.dump(-1, ' ', false, json::error_handler_t::replace) + '\n';
  }
  return lines;
}

/// How the command gets what was received.
SpawnOptions plan(const ReceiveOptions& receive, const Received& received) {
  SpawnOptions options;
  options.argv = receive.command;
  options.environment = inherited_environment();
  options.new_group = false;
  const auto give = [&](int number, int target) {
    std::erase_if(options.descriptors, [&](const auto& move) { return move.second == target; });
    options.descriptors.emplace_back(number, target);
  };
  // The socket that we were given as a standard descriptor is ours, and not the command's.
  static const Fd nothing = open_file("/dev/null", OpenMode::read_write);
  for (int number = 0; number < kFirstListenFd; ++number) {
    const bool is_ours = number == receive.rendezvous.socket.number;
    give(is_ours || !is_open(number) ? nothing.get() : number, number);
  }
  const std::vector<Fd>& descriptors = received.descriptors;
  switch (receive.placement) {
    case ReceiveOptions::Placement::stdio:
      give(descriptors[0].get(), STDIN_FILENO);
      give(descriptors[0].get(), STDOUT_FILENO);
      break;
    case ReceiveOptions::Placement::stdin_only: give(descriptors[0].get(), STDIN_FILENO); break;
    case ReceiveOptions::Placement::numbers:
      for (std::size_t i = 0; i < descriptors.size(); ++i) {
        give(descriptors[i].get(), receive.numbers[i]);
      }
      break;
    case ReceiveOptions::Placement::listen_fds: {
      std::vector<std::string> names;
      for (std::size_t i = 0; i < descriptors.size(); ++i) {
        give(descriptors[i].get(), kFirstListenFd + static_cast<int>(i));
        names.push_back(received.names[i].empty() ? "unknown" : received.names[i]);
      }
      give_listen_fds(options, names);
      break;
    }
  }
  std::erase_if(options.environment, describes_a_connection);
  for (std::string& variable : connection_variables(descriptors[0].get())) {
    options.environment.push_back(std::move(variable));
  }
  return options;
}

}  // namespace

ReceiveCommand::ReceiveCommand(Reactor& reactor, const SignalMask& signals, ReceiveOptions options,
                               StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      log_(log),
      report_failed_(
          reactor, [&log](std::string_view line) { log.error(line); }, kSenderBurst),
      signals_(signals),
      rendezvous_(reactor, options_.rendezvous, log),
      senders_(reactor, kMaxSenders, kPatience),
      places_(reactor, options_.max_processes, kMaxSenders),
      output_(reactor),
      printing_(reactor, 1, kMaxSenders),
      changed_(reactor) {
  if (!options_.command.empty()) find_program(options_.command.front());
}

Task<Received> ReceiveCommand::run() {
  reactor_.spawn(output_.run());
  reactor_.spawn(
      watch_signals(reactor_, signals_, [this](const auto& signal) { handle_signal(signal); }));
  reactor_.spawn(accept_senders());
  co_await changed_.wait_until([this] { return is_over(); });
  if (error_) std::rethrow_exception(error_);
  co_return std::move(received_);
}

bool ReceiveCommand::is_over() const {
  if (error_) return true;
  // One sender is enough, unless more are to come; then what runs is finished first.
  return stopping_ && (!options_.keep || under_way_ == 0);
}

/// Each sender has a coroutine: one that connects and sends nothing keeps nobody waiting.
Task<void> ReceiveCommand::accept_senders() {
  try {
    while (auto socket = co_await rendezvous_.next()) {
      const auto origin = rendezvous_.listens() ? Sender::Origin::accepted : Sender::Origin::given;
      reactor_.spawn(receive_from(senders_.add(*std::move(socket), origin)));
      co_await senders_.room();
    }
  } catch (...) {
    error_ = std::current_exception();
  }
  changed_.notify_all();
}

Task<void> ReceiveCommand::receive_from(Sender& sender) {
  const bool is_only_one = sender.origin == Sender::Origin::given;
  try {
    co_await receive_messages(sender);
  } catch (const std::exception& error) {
    if (is_only_one || !options_.keep) {
      error_ = std::current_exception();
    } else {
      report_failed_(error.what());  // one sender of many
    }
  }
  senders_.remove(sender);
  if (is_only_one) stopping_ = true;
  changed_.notify_all();
}

Task<void> ReceiveCommand::receive_messages(Sender& sender) {
  HandoverReceiver receiver(sender.socket.get(), rendezvous_.name());
  bool any = false;
  while (!stopping_) {
    std::optional<Received> received = co_await receive_message(sender, receiver);
    if (!received) break;
    any = true;
    if (starts_processes()) {
      // Only now: a sender that sends nothing holds no place.
      co_await places_.acquire();
      if (stopping_) {
        places_.release();
        break;
      }
    }
    if (options_.json && !co_await print(*received)) break;
    const bool confirm = received->confirm;
    take(*std::move(received));
    const char confirmation = handover::kConfirmation;
    if (confirm) send_fds(sender.socket.get(), {&confirmation, 1}, {});
    senders_.end_message(sender);
  }
  if (!any && !options_.keep && !rendezvous_.listens()) {
    throw ProtocolError(fmt::format("cannot receive on {}: the sender closed and sent nothing",
                                    rendezvous_.name()));
  }
}

/// The next message, or nothing at the end of this sender.
Task<std::optional<Received>> ReceiveCommand::receive_message(Sender& sender,
                                                              HandoverReceiver& receiver) {
  using Step = HandoverReceiver::Step;
  bool late = false;
  // Another sender's message may have been the last one that was wanted, in this very turn.
  while (!stopping_) {
    const bool was_within = receiver.is_within_message();
    const Step step = receiver.step();
    if (step == Step::end) co_return std::nullopt;
    if (step == Step::message || (receiver.is_within_message() && !was_within)) {
      senders_.begin_message(sender);
      late = false;
    }
    if (step == Step::message) {
      Received received = receiver.take();
      check_count(received.descriptors.size());
      co_return received;
    }
    // What arrived while the deadline passed was looked at first.
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

/// Throws TimedOut when it is everybody's deadline that has passed.
void ReceiveCommand::give_up_on_sender() {
  if (Clock::now() >= rendezvous_.deadline()) {
    throw TimedOut(fmt::format("cannot receive on {}: {}", rendezvous_.name(),
                               rendezvous_.limit().timed_out()));
  }
  report_failed_(
      fmt::format("cannot receive on {}: a sender that has sent no whole message is closed: "
                  "timed out after {}",
                  rendezvous_.name(), duration_text(kPatience)));
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
  if (any_number || count == expected) return;
  throw ProtocolError(fmt::format("cannot receive on {}: {} descriptors came where {} was expected",
                                  rendezvous_.name(), count, expected));
}

void ReceiveCommand::take(Received received) {
  ++taken_;
  if (!options_.keep || taken_ == options_.count) stop();
  if (starts_processes()) {
    start_process(received);
  } else {
    received_ = std::move(received);
  }
}

/// The sender is sent its confirmation after that. Returns false when other senders have sent
/// everything that was wanted meanwhile.
Task<bool> ReceiveCommand::print(const Received& received) {
  co_await printing_.acquire();
  const SemaphorePlace place(printing_);
  if (stopping_) co_return false;
  ++under_way_;
  const std::string lines = lines_about(received);
  output_.add(isatty(STDOUT_FILENO) == 1 ? printable_json(lines) : lines);
  co_await output_.drained();
  --under_way_;
  co_return true;
}

void ReceiveCommand::start_process(const Received& received) {
  Child child;
  try {
    child = spawn(plan(options_, received));
  } catch (...) {
    places_.release();
    throw;
  }
  ++under_way_;
  reactor_.spawn(reap(std::move(child)));
}

Task<void> ReceiveCommand::reap(Child child) {
  while (!child.has_ended()) {
    FdWatcher exited(reactor_, child.pidfd());
    try {
      co_await exited.readable();
      continue;
    } catch (const SystemError& error) {
      report_failed_(fmt::format("{}, pid {}: {}; trying again", options_.command.front(),
                                 child.pid(), error.what()));
    }
    co_await reactor_.sleep_until(reactor_.now() + kLookPause);
  }
  const pid_t pid = child.pid();
  const ExitStatus status = child.reap();
  if (!status.success()) {
    log_.detail(fmt::format("{}, pid {}: {}", options_.command.front(), pid, status.text()));
  }
  --under_way_;
  places_.release();
  changed_.notify_all();
}

/// With `keep` the first signal lets what runs finish.
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

ExitCode hand_on(const ReceiveOptions& options, const Received& received) {
  if (options.keep || options.json) return ExitCode::done;
  if (!options.command.empty()) become(plan(options, received));
  const int from = received.descriptors[0].get();
  std::array<char, 64 * 1024> buffer;
  while (const std::size_t size = read_received(from, buffer)) {
    write_to_stdout({buffer.data(), size});
  }
  return ExitCode::done;
}

}  // namespace handoff
