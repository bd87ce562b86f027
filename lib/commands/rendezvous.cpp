// SPDX-License-Identifier: MIT
#include "commands/rendezvous.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include <handoff/os/error.hpp>

#include "async/attempts.hpp"
#include "async/connect.hpp"
#include "async/wait_notice.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// The pause between two attempts to accept, if the system is out of something.
constexpr auto kAcceptPause = std::chrono::milliseconds(100);

}  // namespace

Rendezvous::Rendezvous(Reactor& reactor, RendezvousOptions options, StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      log_(log),
      judge_(options_.allowed_uids),
      report_refused_(reactor, [&log](std::string_view line) { log.error(line); }),
      deadline_(deadline_after(Clock::now(), options_.timeout)),
      changed_(reactor) {
  if (options_.socket.kind == Address::Kind::inherited) {
    accepts_ = is_listening(options_.socket.number);
  } else if (options_.listen) {
    ListenOptions listen;
    listen.mode = options_.mode;
    listener_.emplace(listen_on(options_.socket, listen));
  }
  if (listens()) { watcher_.emplace(reactor_, listening_fd()); }
}

Task<std::optional<Fd>> Rendezvous::next() {
  if (listens()) { co_return co_await accept(); }
  if (used_ || stopped_) { co_return std::nullopt; }
  used_ = true;
  // An inherited descriptor was made by the process that started this one, and is trusted.
  if (options_.socket.kind == Address::Kind::inherited) { co_return Fd(options_.socket.number); }
  Fd socket = co_await connect();
  check_listener(socket.get());
  co_return socket;
}

Task<std::optional<Fd>> Rendezvous::accept() {
  // A function in a coroutine is none itself.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  WaitNotice notice(reactor_, [this](const std::string& text) { log_.detail(text); });
  notice.expect(fmt::format("no connection on {} yet", name()));
  while (!stopped_) {
    Accepted accepted = try_to_accept();
    switch (accepted.outcome) {
      case Accepted::Outcome::would_block: {
        const bool waited = co_await wait_for_client();
        if (!waited) { co_await pause(); }
        break;
      }
      case Accepted::Outcome::shut_down:
        throw SystemError(accepted.error_number, "accept on", name());
      case Accepted::Outcome::try_again:
      case Accepted::Outcome::exhausted:
        report_refused_(fmt::format("cannot accept on {}: {}; trying again", name(),
                                    error_text(accepted.error_number)));
        co_await pause();
        break;
      case Accepted::Outcome::connection:
        if (is_welcome(accepted.fd.get())) { co_return std::move(accepted.fd); }
        break;
    }
  }
  co_return std::nullopt;
}

/// Returns false if epoll has no room. Throws TimedOut at the deadline.
Task<bool> Rendezvous::wait_for_client() {
  WaitTimeout limit(*watcher_, deadline_);
  try {
    if (co_await watcher_->readable() || stopped_) { co_return true; }
  } catch (const SystemError& error) {
    report_refused_(fmt::format("cannot wait on {}: {}; trying again", name(),
                                error_text(error.error_number())));
    co_return false;
  }
  throw timed_out();
}

TimedOut Rendezvous::timed_out() const {
  return TimedOut(fmt::format("no connection on {}: {}", name(), limit().timed_out()));
}

/// The pause ends early at the deadline or when stop() is called.
Task<void> Rendezvous::pause() {
  const TimePoint now = Clock::now();
  if (now >= deadline_) { throw timed_out(); }
  const TimePoint end = std::min(deadline_, now + kAcceptPause);
  co_await changed_.wait_until([this] { return stopped_; }, end);
}

/// An inherited listener may be blocking, and other processes share its flags, so poll(2) is asked
/// first.
Accepted Rendezvous::try_to_accept() const {
  pollfd waiting{listening_fd(), POLLIN, 0};
  if (accepts_ && poll(&waiting, 1, 0) <= 0) {
    return {Accepted::Outcome::would_block, {}, {}, EAGAIN};
  }
  return try_accept(listening_fd());
}

/// The deadline covers everything: once it has passed the failure is a time-out, whatever the last
/// attempt has failed with.
Task<Fd> Rendezvous::connect() {
  AttemptOptions attempt;
  attempt.mode = options_.wait ? AttemptMode::wait : AttemptMode::retry;
  attempt.limit = limit();
  // A function in a coroutine is none itself.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  attempt.on_waiting = [this](const std::string& text) { log_.detail(text); };
  attempt.silence = fmt::format("no answer from {} yet", name());
  Attempts attempts(reactor_, std::move(attempt));
  try {
    DialedSocket connection = co_await attempts.run<DialedSocket>(
        [this](TimeLimit limit) { return connect_to(reactor_, options_.socket, limit); });
    co_return std::move(connection.socket);
  } catch (const Unreachable& error) {
    if (Clock::now() < deadline_) { throw; }
    throw TimedOut(error.what());
  }
}

/// Throws Unreachable where this user namespace maps no user, since waiting for another peer is
/// useless.
bool Rendezvous::admits(int connection) {
  const auto refused = judge_.refuse(connection);
  if (!refused) { return true; }
  const std::string line = fmt::format("cannot accept on {}: user {} is refused ({})", name(),
                                       refused->uid, refused->remedy());
  if (refused->reason == RefusedPeer::Reason::every_user) { throw Unreachable(line); }
  report_refused_(line);
  return false;
}

/// Such a peer is refused, and the others are still served.
bool Rendezvous::is_welcome(int connection) {
  try {
    return admits(connection);
  } catch (const SystemError& error) {
    report_refused_(fmt::format("cannot accept on {}: {}", name(), error.what()));
    return false;
  }
}

void Rendezvous::check_listener(int socket) const {
  const auto refused = judge_.refuse(socket);
  if (!refused) { return; }
  throw Unreachable(fmt::format("cannot connect to {}: user {} listens there ({})", name(),
                                refused->uid, refused->remedy()));
}

void Rendezvous::stop() {
  stopped_ = true;
  changed_.notify_all();
  if (watcher_) { watcher_->interrupt(); }
}

}  // namespace handoff
