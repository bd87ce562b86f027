// SPDX-License-Identifier: MIT
#include "cli/exchange.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "async/attempts.hpp"
#include "async/connect.hpp"
#include "os/error.hpp"

namespace handoff {

Address parse_socket(std::string_view word, int dash) {
  Address address;
  if (word == "-") {
    address = Address::parse(fmt::format("fd:{}", dash));
    address.text = "-";
  } else if (word.starts_with('@') || word.starts_with("fd:") || word.starts_with("unix:")) {
    address = Address::parse(word);
  } else {
    address = Address::parse(fmt::format("unix:{}", word));
    address.text = word;
  }
  if (address.kind != Address::Kind::inherited) return address;
  // A socket that is not a Unix one could carry bytes, but never a descriptor.
  if (!is_open(address.number) || local_address(address.number).family() != AF_UNIX) {
    throw InvalidArgument(fmt::format("SOCKET, on {}: the descriptor is not a Unix socket", word));
  }
  return address;
}

Exchange::Exchange(Reactor& reactor, ExchangeOptions options, StderrLog& log)
    : reactor_(reactor),
      options_(std::move(options)),
      log_(log),
      judge_(options_.allowed_uids),
      report_refused_(reactor, [&log](std::string_view line) { log.error(line); }),
      deadline_(deadline_after(Clock::now(), options_.timeout)) {
  if (options_.socket.kind == Address::Kind::inherited) {
    int listening = 0;
    socklen_t size = sizeof listening;
    getsockopt(options_.socket.number, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size);
    accepts_ = listening != 0;
  } else if (options_.listen) {
    ListenOptions listen;
    listen.mode = options_.mode;
    listener_.emplace(listen_on(options_.socket, listen));
  }
  if (listens()) readiness_.emplace(reactor_, listening_fd());
}

Task<std::optional<Fd>> Exchange::next() {
  if (listens()) co_return co_await accept();
  if (used_ || stopped_) co_return std::nullopt;
  used_ = true;
  // What we inherited was made by whoever started us, and is trusted.
  if (options_.socket.kind == Address::Kind::inherited) co_return Fd(options_.socket.number);
  Fd socket = co_await connect();
  check_listener(socket.get());
  co_return socket;
}

Task<std::optional<Fd>> Exchange::accept() {
  while (!stopped_) {
    Deadline limit(*readiness_, deadline_);
    Accepted accepted = try_to_accept();
    switch (accepted.outcome) {
      case Accepted::Outcome::would_block:
        if (!co_await readiness_->readable() && !stopped_) {
          throw TimedOut(fmt::format("wait, on {}: timed out", name()));
        }
        break;
      case Accepted::Outcome::try_again: break;
      case Accepted::Outcome::exhausted:
      case Accepted::Outcome::shut_down: throw SystemError(accepted.error_number, "accept", name());
      case Accepted::Outcome::connection:
        if (admits(accepted.fd.get())) co_return std::move(accepted.fd);
        break;
    }
  }
  co_return std::nullopt;
}

/// A listener that we inherited may be blocking, and its flags are not ours to change.
Accepted Exchange::try_to_accept() const {
  pollfd waiting{listening_fd(), POLLIN, 0};
  if (accepts_ && poll(&waiting, 1, 0) <= 0) {
    return {Accepted::Outcome::would_block, {}, {}, EAGAIN};
  }
  return try_accept(listening_fd());
}

/// The deadline is that of everything, so that waiting until it has passed is a timeout, whatever
/// the last attempt has failed with.
Task<Fd> Exchange::connect() {
  AttemptOptions attempt;
  attempt.mode = options_.wait ? AttemptMode::wait : AttemptMode::retry;
  attempt.limit = {deadline_, options_.timeout};
  attempt.on_new_reason = [this](const std::string& text) { log_.detail(text + " (waiting)"); };
  Attempts attempts(reactor_, std::move(attempt));
  try {
    Connection connection = co_await attempts.run<Connection>(
        [this](TimeLimit limit) { return connect_to(reactor_, options_.socket, limit); });
    co_return std::move(connection.socket);
  } catch (const Unreachable& error) {
    if (Clock::now() < deadline_) throw;
    throw TimedOut(error.what());
  }
}

/// Throws Unreachable where this user namespace maps no user: waiting for another peer is vain.
bool Exchange::admits(int connection) {
  const auto refused = judge_.refuse(connection);
  if (!refused) return true;
  const std::string line = fmt::format("accept, on {}: user {} is refused ({})", name(),
                                       refused->uid, refused->remedy());
  if (refused->reason == RefusedPeer::Reason::every_user) throw Unreachable(line);
  report_refused_(line);
  return false;
}

void Exchange::check_listener(int socket) const {
  const auto refused = judge_.refuse(socket);
  if (!refused) return;
  throw Unreachable(fmt::format("cannot connect to {}: user {} listens there ({})", name(),
                                refused->uid, refused->remedy()));
}

void Exchange::stop() {
  stopped_ = true;
  if (readiness_) readiness_->interrupt();
}

}  // namespace handoff
