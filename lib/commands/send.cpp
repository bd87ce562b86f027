// SPDX-License-Identifier: MIT
#include "commands/send.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <utility>

#include "async/connect.hpp"
#include "async/signal_watcher.hpp"
#include "os/error.hpp"
#include "os/listen_on_all.hpp"
#include "os/log.hpp"
#include "os/parse_number.hpp"
#include "pass/fd_passing.hpp"
#include "pass/handover.hpp"
#include "wire/errors.hpp"

namespace handoff {
namespace {

/// The most lines within a second about receivers that failed.
constexpr std::size_t kAskerBurst = 32;

int parse_descriptor(const std::string& word) {
  const auto number = parse_number<int>(word);
  if (!number || *number < 0) {
    throw InvalidArgument(fmt::format("{}: write the number of a descriptor", word));
  }
  return *number;
}

/// Names the option in the error about its word.
template <typename Parse>
auto parse_for(std::string_view option, const std::string& word, Parse parse) {
  try {
    return parse(word);
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(fmt::format("{} {}", option, error.what()));
  }
}

Address parse_tcp(const std::string& word) {
  Address address = Address::parse(word);
  if (address.kind == Address::Kind::tcp) { return address; }
  throw InvalidArgument(fmt::format("{}: write host:port", word));
}

}  // namespace

SendCommand::SendCommand(Reactor& reactor, SendOptions options, StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      log_(log),
      report_failed_(
          reactor, [&log](std::string_view line) { log.error(line); }, kAskerBurst) {
  if (options_.sources.empty()) { options_.sources = {{Source::Kind::inherited, "0"}}; }
  const std::size_t count = options_.sources.size();
  if (count > kMaxDescriptorsPerMessage) {
    throw InvalidArgument(fmt::format("cannot send {} descriptors: a message carries at most {}",
                                      count, kMaxDescriptorsPerMessage));
  }
  if (options_.names.size() > count) {
    throw InvalidArgument(fmt::format("cannot give {} names: there {} {}", options_.names.size(),
                                      count == 1 ? "is" : "are", counted(count, "descriptor")));
  }
  for (const std::string& name : options_.names) {
    parse_for("--name", name, handover::check_name);
  }
  if (options_.names.empty() && !options_.confirm) {
    message_ = std::string(1, options_.byte);
  } else {
    options_.names.resize(count);
    message_ = handover::encode({options_.names, options_.confirm});
  }
}

void SendCommand::handle_signal(const ReceivedSignal& signal) {
  if (!options_.keep) {
    end_by_signal(signal.number);
    throw TimedOut(fmt::format("cannot send to {}: ended by a signal", rendezvous_->name()));
  }
  rendezvous_->stop();
}

// The caller keeps the mask until the reactor has run the task to its end.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<ExitCode> SendCommand::run(const SignalMask& signals) {
  rendezvous_.emplace(reactor_, options_.rendezvous, log_);
  reactor_.spawn(
      watch_signals(reactor_, signals, [this](ReceivedSignal signal) { handle_signal(signal); }));
  if (!options_.keep) {
    const auto socket = co_await rendezvous_->next();
    co_await send(socket->get());
    co_return ExitCode::done;
  }
  log_.info(fmt::format("ready, on {}", rendezvous_->name()));
  while (auto socket = co_await rendezvous_->next()) { reactor_.spawn(serve(*std::move(socket))); }
  co_return ExitCode::done;
}

Task<void> SendCommand::open_sources() {
  deadline_ = deadline_after(Clock::now(), options_.rendezvous.timeout);
  for (const Source& source : options_.sources) {
    Fd descriptor = co_await open(source);
    descriptors_.push_back(std::move(descriptor));
  }
}

// The source is one of `options_`.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<Fd> SendCommand::open(const Source& source) {
  switch (source.kind) {
    case Source::Kind::inherited: co_return take_inherited(parse_descriptor(source.word));
    case Source::Kind::file: co_return open_file(source.word, options_.open_mode);
    case Source::Kind::process: {
      const auto [pid, number] = parse_for("--pid", source.word, parse_process_descriptor);
      co_return take_from_process(pid, number);
    }
    case Source::Kind::listener:
      co_return take_listener(source.pid, parse_for("--listener", source.word, Address::parse));
    case Source::Kind::tcp_listen: {
      // The listener is blocking, as a program expects that is given one: the flag belongs to the
      // open file.
      ListenOptions listen;
      listen.allow_public = options_.allow_public;
      listen.blocking = true;
      Listener listener = listen_on(parse_for("--tcp-listen", source.word, parse_tcp), listen);
      log_.info(fmt::format("listening, on {}", listener.text()));
      tell_of_others(parse_tcp(source.word));
      co_return listener.release();
    }
    case Source::Kind::tcp_connect: {
      const Address address = parse_for("--tcp-connect", source.word, parse_tcp);
      const TimeLimit limit{deadline_, options_.rendezvous.timeout};
      DialedSocket connection = co_await connect_to(reactor_, address, limit);
      set_blocking(connection.socket.get());
      co_return std::move(connection.socket);
    }
  }
  co_return Fd();
}

/// A source is one descriptor, but a name can have several addresses.
void SendCommand::tell_of_others(const Address& address) const {
  const std::vector<SocketAddress> addresses = distinct_addresses(address);
  for (std::size_t i = 1; i < addresses.size(); ++i) {
    log_.info(
        fmt::format("not listening on {}: a descriptor has one address of {} (give this one "
                    "a --tcp-listen of its own)",
                    addresses[i].text(), address.host));
  }
}

/// A failure of one receiver of many is logged and does not end fdsend.
Task<void> SendCommand::serve(Fd socket) {
  try {
    co_await send(socket.get());
  } catch (const std::exception& error) { report_failed_(error.what()); }
}

void SendCommand::empty_files() {
  if (options_.open_mode != OpenMode::write || std::exchange(emptied_, true)) { return; }
  for (std::size_t i = 0; i < options_.sources.size(); ++i) {
    const Source& source = options_.sources[i];
    if (source.kind == Source::Kind::file) { empty_file(descriptors_[i], source.word); }
  }
}

Task<void> SendCommand::send(int socket) {
  empty_files();
  FdWatcher watcher(reactor_, socket);
  WaitTimeout limit(watcher, rendezvous_->deadline());
  std::vector<int> numbers;
  for (const Fd& descriptor : descriptors_) { numbers.push_back(descriptor.get()); }
  std::string_view rest = message_;
  while (!rest.empty()) {
    const SendResult result = send_fds(socket, rest, numbers);
    switch (result.outcome) {
      case SendOutcome::sent:
        // The descriptors are sent with the first byte.
        numbers.clear();
        rest.remove_prefix(result.bytes_sent);
        break;
      case SendOutcome::would_block:
        if (co_await watcher.writable()) { break; }
        throw TimedOut(fmt::format("cannot send to {}: {}", rendezvous_->name(),
                                   rendezvous_->limit().timed_out()));
      case SendOutcome::closed:
        throw ProtocolError(
            fmt::format("cannot send to {}: the receiver is gone", rendezvous_->name()));
      case SendOutcome::failed:
        throw SystemError(result.error_number, "send to", rendezvous_->name());
    }
  }
  if (options_.confirm) { co_await await_confirmation(watcher); }
}

/// `watcher` must outlive the task. The caller sets its deadline.
// The caller has the watcher in its own frame, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> SendCommand::await_confirmation(FdWatcher& watcher) {
  std::array<char, 1> answer{};
  for (;;) {
    const ReceiveResult result = recv_fds(watcher.fd(), answer, 0);
    if (result.outcome == ReceiveOutcome::received && answer[0] == handover::kConfirmation) {
      co_return;
    }
    throw_if_failed(result);
    if (result.outcome != ReceiveOutcome::would_block) {
      throw ProtocolError(
          fmt::format("cannot send to {}: the receiver did not confirm", rendezvous_->name()));
    }
    if (!co_await watcher.readable()) {
      throw TimedOut(fmt::format("cannot send to {}: the receiver did not confirm: {}",
                                 rendezvous_->name(), rendezvous_->limit().timed_out()));
    }
  }
}

}  // namespace handoff
