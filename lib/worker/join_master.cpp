// SPDX-License-Identifier: MIT
#include "worker/join_master.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "async/attempts.hpp"
#include "async/connect.hpp"
#include "os/error.hpp"
#include "os/socket.hpp"

namespace handoff {
namespace {

/// The time within which a master that exists accepts.
constexpr auto kJoinTimeout = std::chrono::seconds(10);

/// The pause after a refusal. In the plain form each end of a channel counts as one.
constexpr Duration kPauseAfterRefusal = std::chrono::milliseconds(50);
constexpr Duration kPauseAfterPlainEnd = std::chrono::seconds(1);

/// A master that refuses once may have had as many workers as it takes only at that moment.
constexpr int kMaxRefusals = 1;

/// The most lines within a second that say that the worker has joined: a master may send it away
/// again and again.
constexpr std::size_t kJoinedBurst = 16;

}  // namespace

JoinMaster::JoinMaster(Reactor& reactor, Address address, Duration wait, PeerJudge judge,
                       const Report& report)
    : reactor_(reactor),
      address_(std::move(address)),
      wait_(wait),
      judge_(std::move(judge)),
      report_(report),
      report_joined_(reactor, saying(report, Severity::info), kJoinedBurst) {}

Task<Fd> JoinMaster::join() {
  Fd channel = co_await wait_for_master();
  if (channel.valid()) {
    report_(Severity::detail, fmt::format("waiting for the master at {}", address_.text));
    channel = admit(std::move(channel));
  }
  co_return channel;
}

Task<Fd> JoinMaster::join_again(Before before) {
  refusals_ = before == Before::refused ? refusals_ + 1 : 0;
  if (refusals_ > kMaxRefusals && is_full_) {
    throw Unreachable(fmt::format(
        "cannot join {}: the master does not let us (see its --allow-uid), or has as many "
        "workers as it takes",
        address_.text));
  }
  if (refusals_ > 0) {
    const Duration pause = is_full_ ? kPauseAfterRefusal : kPauseAfterPlainEnd;
    co_await reactor_.sleep_until(reactor_.now() + pause);
  }
  Fd channel;
  if (!cancellation_.cancelled()) { channel = co_await find_successor(); }
  if (cancellation_.cancelled()) { channel.reset(); }
  if (channel.valid()) { channel = admit(std::move(channel)); }
  co_return channel;
}

void JoinMaster::confirm() {
  report_joined_(fmt::format("joined, on {}", address_.text));
}

Fd JoinMaster::admit(Fd channel) {
  if (const auto refused = judge_.refuse(channel.get())) {
    throw Unreachable(fmt::format("cannot join {}: user {} listens there ({})", address_.text,
                                  refused->uid, refused->remedy()));
  }
  is_full_ = socket_type(channel.get()) == SOCK_SEQPACKET;
  if (!is_full_) {
    report_joined_(
        fmt::format("connected to {} (in the plain form no master confirms that this "
                    "worker has joined)",
                    address_.text));
  }
  return channel;
}

Task<Fd> JoinMaster::find_successor() {
  try {
    co_return co_await connect(TimeLimit::after(Clock::now(), kJoinTimeout));
  } catch (const Unreachable&) {
    // The master may have been killed a moment ago, and another one may follow soon.
  }
  const std::string line = fmt::format("the master at {} is gone", address_.text);
  if (wait_ <= Duration::zero()) {
    if (is_full_) { throw Unreachable(line + " (--wait would wait for another one)"); }
    report_(Severity::info, line);
    co_return Fd();
  }
  report_(Severity::info, line + "; waiting for another one");
  Fd channel = co_await wait_for_master();
  co_return channel;
}

Task<Fd> JoinMaster::wait_for_master() {
  AttemptOptions options;
  options.mode = wait_ > Duration::zero() ? AttemptMode::wait : AttemptMode::retry;
  options.limit = TimeLimit::after(Clock::now(), wait_);
  options.attempt_timeout = kJoinTimeout;
  // The reference is a parameter of the function, which is no coroutine.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  options.on_waiting = [this](const std::string& text) { report_(Severity::detail, text); };
  options.silence = fmt::format("no answer from {} yet", address_.text);
  Attempts attempts(reactor_, std::move(options));
  // The reference is a parameter of the lambda's copy constructor, and none of the coroutine.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  const auto attempt = [this](TimeLimit limit) { return connect(limit); };
  Raced<Fd> joined = co_await race(reactor_, attempts.run<Fd>(attempt), kNever, &cancellation_);
  co_return std::move(joined.value).value_or(Fd());
}

/// The master chooses the type of its socket: one of another type may speak the plain form.
Task<Fd> JoinMaster::connect(TimeLimit limit) {
  try {
    DialedSocket full = co_await connect_to(reactor_, address_, limit, {.type = SOCK_SEQPACKET});
    co_return std::move(full.socket);
  } catch (const CannotConnect& error) {
    // The kernel does not find an abstract name whose socket has another type.
    const int number = error.failure().error_number;
    const bool is_abstract = address_.kind == Address::Kind::abstract;
    if (number != EPROTOTYPE && !(is_abstract && number == ECONNREFUSED)) { throw; }
  }
  DialedSocket plain = co_await connect_to(reactor_, address_, limit, {.type = SOCK_STREAM});
  co_return std::move(plain.socket);
}

}  // namespace handoff
