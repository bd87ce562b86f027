// SPDX-License-Identifier: MIT
#include "cli/receive.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "os/describe.hpp"
#include "os/error.hpp"
#include "os/printable.hpp"
#include "os/program.hpp"
#include "pass/fd_passing.hpp"
#include "pass/handover.hpp"
#include "pass/sources.hpp"
#include "wire/message.hpp"

namespace handoff {
namespace {

/// Senders that are connected at a time; further ones wait in the backlog.
constexpr std::size_t kMaxSenders = 64;

/// Lines about senders that failed, within a second.
constexpr std::size_t kSenderBurst = 32;

/// How often a command is looked at whose end epoll can't report.
constexpr auto kLookPause = std::chrono::milliseconds(100);

/// The first descriptor of sd_listen_fds(3).
constexpr int kFirstListenFd = 3;

/// A call on a descriptor whose O_NONBLOCK is not ours to change: waits where it would block.
template <typename Call>
std::size_t wait_and_retry(int fd, short event, std::string_view attempt, std::string_view object,
                           Call call) {
  for (;;) {
    const ssize_t size = retry(call);
    if (size >= 0) return static_cast<std::size_t>(size);
    if (errno != EAGAIN) throw SystemError(errno, attempt, object);
    pollfd ready{fd, event, 0};
    retry([&] { return poll(&ready, 1, -1); });
  }
}

/// Blocks until all is written. Throws SystemError ("write, on stdout: ..."); see also
/// end_if_reader_has_gone().
void write_to_stdout(std::string_view bytes) {
  while (!bytes.empty()) {
    bytes.remove_prefix(wait_and_retry(STDOUT_FILENO, POLLOUT, "write", "stdout", [&] {
      const ssize_t size = write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (size < 0) end_if_reader_has_gone(errno);
      return size;
    }));
  }
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
    const bool is_ours = number == receive.exchange.socket.number;
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
      std::string names;
      for (std::size_t i = 0; i < descriptors.size(); ++i) {
        give(descriptors[i].get(), kFirstListenFd + static_cast<int>(i));
        if (i > 0) names += ':';
        names += received.names[i].empty() ? "unknown" : received.names[i];
      }
      options.environment.push_back(fmt::format("LISTEN_FDS={}", descriptors.size()));
      options.environment.push_back("LISTEN_FDNAMES=" + names);
      options.listen_pid = true;
      break;
    }
  }
  // Those of a connection that we were given ourselves would come first, and be found.
  std::erase_if(options.environment, [](const std::string& entry) {
    return entry.starts_with("PROTO=") || entry.starts_with("TCPREMOTE") ||
           entry.starts_with("TCPLOCAL");
  });
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
      exchange_(reactor, options_.exchange, log),
      places_(reactor, options_.max_processes, kMaxSenders),
      changed_(reactor),
      sender_left_(reactor) {
  if (!options_.command.empty()) find_program(options_.command.front());
}

Task<Received> ReceiveCommand::run() {
  reactor_.spawn(watch_signals());
  reactor_.spawn(accept_senders());
  while (!is_over()) {
    changed_.clear();
    co_await changed_;
  }
  if (error_) std::rethrow_exception(error_);
  co_return std::move(received_);
}

bool ReceiveCommand::is_over() const {
  if (error_) return true;
  // One sender is enough, unless more are to come; then what runs is finished first.
  return stopping_ && (!options_.keep || processes_ == 0);
}

/// Each sender has a coroutine: one that connects and sends nothing keeps nobody waiting.
Task<void> ReceiveCommand::accept_senders() {
  try {
    while (auto socket = co_await exchange_.next()) {
      ++senders_;
      reactor_.spawn(receive_from(*std::move(socket)));
      while (senders_ >= kMaxSenders) {
        sender_left_.clear();
        co_await sender_left_;
      }
    }
  } catch (...) {
    error_ = std::current_exception();
  }
  changed_.set();
}

Task<void> ReceiveCommand::receive_from(Fd socket) {
  const bool is_only_one = !exchange_.listens();
  try {
    Readiness readiness(reactor_, socket.get());
    co_await receive_messages(readiness);
  } catch (const std::exception& error) {
    if (is_only_one || !options_.keep) {
      error_ = std::current_exception();
    } else {
      report_failed_(error.what());  // one sender of many
    }
  }
  --senders_;
  if (is_only_one) stopping_ = true;
  sender_left_.set();
  changed_.set();
}

Task<void> ReceiveCommand::receive_messages(Readiness& readiness) {
  bool any = false;
  while (!stopping_) {
    std::optional<Received> received = co_await receive_message(readiness);
    if (!received) break;
    any = true;
    if (starts_processes()) {
      // Only now: a sender that sends nothing shall hold no place.
      co_await places_.acquire();
      if (stopping_) {
        places_.release();
        break;
      }
    }
    const bool confirm = received->confirm;
    take(*std::move(received));
    const char confirmation = handover::kConfirmation;
    if (confirm) send_fds(readiness.fd(), {&confirmation, 1}, {});
  }
  if (!any && !options_.keep && !exchange_.listens()) {
    throw ProtocolError(
        fmt::format("receive, on {}: the sender closed and sent nothing", exchange_.name()));
  }
}

/// The next message, or nothing at the end.
Task<std::optional<Received>> ReceiveCommand::receive_message(Readiness& readiness) {
  Deadline limit(readiness, exchange_.deadline());
  std::string bytes;
  Received received;
  handover::Message message;
  std::array<char, 4096> buffer;
  for (;;) {
    // Another sender's message may have been the last one that was wanted, in this very turn.
    if (stopping_) co_return std::nullopt;
    ReceiveResult result = recv_fds(readiness.fd(), buffer, kMaxDescriptorsPerMessage);
    if (result.outcome == ReceiveOutcome::would_block) {
      if (co_await readiness.readable()) continue;
      if (stopping_) co_return std::nullopt;
      throw TimedOut(fmt::format("receive, on {}: timed out", exchange_.name()));
    }
    throw_if_failed(result);
    if (result.outcome == ReceiveOutcome::truncated) {
      throw ProtocolError(fmt::format(
          "receive, on {}: more descriptors than fit (the limit is {}, see `ulimit -n`)",
          exchange_.name(), descriptor_limit()));
    }
    if (result.outcome != ReceiveOutcome::received) {
      if (bytes.empty()) co_return std::nullopt;
      throw ProtocolError(
          fmt::format("receive, on {}: the sender closed within a message", exchange_.name()));
    }
    bytes.append(buffer.data(), result.size);
    for (Fd& descriptor : result.descriptors) {
      received.descriptors.push_back(std::move(descriptor));
    }
    const auto decoded = handover::decode(bytes, received.descriptors.size(), message);
    if (decoded == handover::Decoded::complete) break;
    if (decoded == handover::Decoded::invalid || bytes.size() > handover::kMaxMessage) {
      throw ProtocolError(
          fmt::format("receive, on {}: the message is malformed", exchange_.name()));
    }
  }
  check_count(received.descriptors.size());
  received.names = std::move(message.names);
  received.confirm = message.confirm;
  co_return received;
}

void ReceiveCommand::check_count(std::size_t count) const {
  if (count == 0) {
    throw ProtocolError(
        fmt::format("receive, on {}: bytes came without a descriptor", exchange_.name()));
  }
  const bool any_number =
      options_.json || options_.placement == ReceiveOptions::Placement::listen_fds;
  const std::size_t expected =
      options_.placement == ReceiveOptions::Placement::numbers ? options_.numbers.size() : 1;
  if (any_number || count == expected) return;
  throw ProtocolError(fmt::format("receive, on {}: {} descriptors came where {} was expected",
                                  exchange_.name(), count, expected));
}

void ReceiveCommand::take(Received received) {
  ++taken_;
  if (!options_.keep || taken_ == options_.count) stop();
  if (starts_processes()) {
    start_process(received);
  } else {
    if (options_.json) print(received);
    received_ = std::move(received);
  }
}

/// At once, for the sender is sent its confirmation after that.
void ReceiveCommand::print(const Received& received) const {
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
  write_to_stdout(isatty(STDOUT_FILENO) == 1 ? printable_json(lines) : lines);
}

void ReceiveCommand::start_process(const Received& received) {
  Child child;
  try {
    child = spawn(plan(options_, received));
  } catch (...) {
    places_.release();
    throw;
  }
  ++processes_;
  reactor_.spawn(reap(std::move(child)));
}

Task<void> ReceiveCommand::reap(Child child) {
  while (!child.has_ended()) {
    Readiness exited(reactor_, child.pidfd());
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
  --processes_;
  places_.release();
  changed_.set();
}

/// With `keep` the first signal lets what runs finish.
Task<void> ReceiveCommand::watch_signals() {
  Readiness readiness(reactor_, signals_.fd());
  for (;;) {
    while (const auto signal = signals_.try_read()) {
      if (!options_.keep || stopping_) {
        end_by_signal(*signal);
        throw TimedOut(fmt::format("receive, on {}: ended by a signal", exchange_.name()));
      }
      stop();
    }
    co_await readiness.readable();
  }
}

void ReceiveCommand::stop() {
  stopping_ = true;
  exchange_.stop();
  changed_.set();
}

ExitCode hand_on(const ReceiveOptions& options, const Received& received) {
  if (options.keep || options.json) return ExitCode::done;
  if (!options.command.empty()) become(plan(options, received));
  const int from = received.descriptors[0].get();
  std::array<char, 64 * 1024> buffer;
  for (;;) {
    const std::size_t size = wait_and_retry(from, POLLIN, "read", "the received descriptor", [&] {
      return read(from, buffer.data(), buffer.size());
    });
    if (size == 0) return ExitCode::done;
    write_to_stdout({buffer.data(), size});
  }
}

}  // namespace handoff
