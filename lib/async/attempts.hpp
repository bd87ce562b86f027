// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "async/backoff.hpp"
#include "async/connect.hpp"
#include "async/reactor.hpp"
#include "async/task.hpp"
#include "async/time_limit.hpp"
#include "async/wait_notice.hpp"

namespace handoff {

/// How often a failed attempt is repeated.
enum class AttemptMode : std::uint8_t {
  retry,  ///< an attempt that fails uses up one of the retries
  wait,   ///< attempts are repeated until the limit
};

/// What Attempts does between and after failures.
struct AttemptOptions {
  AttemptMode mode = AttemptMode::retry;
  int retries = 0;             ///< attempts after the first
  TimeLimit limit{};           ///< for all attempts and pauses together
  Duration attempt_timeout{};  ///< for each attempt by itself; 0 is none
  /// The pause between the first two attempts. Each later pause is twice as long as the one before,
  /// up to 1 s.
  Duration first_pause = std::chrono::milliseconds(20);
  /// Called with the reason for which the attempts go on, as often as WaitNotice says: "cannot
  /// connect to 127.0.0.1:80: Connection refused (waiting)". May be empty.
  WaitNotice::Say on_waiting{};
  /// The reason for on_waiting during a first attempt that takes long: "no answer from 127.0.0.1:80
  /// yet". Empty: on_waiting is not called then.
  std::string silence{};
};

/// Repeats attempts to connect, with pauses between them that grow to 1 s. Every tool that waits
/// for a server uses it.
///
/// An attempt that fails for a permanent reason is the last one. At the limit the error is that of
/// the last attempt that was not cut short by the limit, and it says how long the limit was.
///
///     Attempts attempts(reactor, options);
///     DialedSocket socket = co_await attempts.run<DialedSocket>(
///         [&](TimeLimit limit) { return connect_to(reactor, address, limit); });
class Attempts {
 public:
  /// The reactor must outlive this object.
  Attempts(Reactor& reactor, AttemptOptions options)
      : reactor_(reactor), options_(std::move(options)), notice_(reactor, options_.on_waiting) {}
  Attempts(const Attempts&) = delete;
  Attempts& operator=(const Attempts&) = delete;

  /// Awaits `attempt(limit)`, a Task<T> that ends by the limit, until one succeeds, and returns its
  /// value. Throws the last attempt's error when no further one may follow, and CannotConnect or
  /// ConnectTimedOut at the limit. An attempt that throws anything but these two is the last. This
  /// object must outlive the task.
  template <typename T, typename Attempt>
  Task<T> run(Attempt attempt) {
    const Quiet at_the_end{notice_};
    if (!options_.silence.empty()) { notice_.expect(options_.silence); }
    std::optional<T> result = co_await try_once<T>(attempt);
    while (!result) {
      plan_retry();
      const bool in_time = co_await pause();
      if (!in_time) { fail_at_limit(); }
      result = co_await try_once<T>(attempt);
    }
    co_return std::move(*result);
  }

  /// Returns whether one of the retries is left.
  bool has_retry() const { return options_.retries > 0; }
  /// Uses up one of the retries for a call that failed although a connect had succeeded, and waits
  /// for the pause before it; `reason` is what on_waiting is told. Returns false when the limit has
  /// passed, at which the wait ends. Call it only if has_retry().
  Task<bool> pause_before_retry(std::string reason);

 private:
  /// Ends the notice when the wait ends, whether by a value or by an exception.
  struct Quiet {
    WaitNotice& notice;
    ~Quiet() { notice.stop(); }
  };
  /// What is known of the last failed attempt.
  struct Failure {
    std::string attempt;  ///< "cannot connect to 127.0.0.1:80"
    std::string text;     ///< the whole message
    ConnectFailure why;
    bool timed_out;
    std::exception_ptr error;
  };

  /// Awaits one attempt. Returns nothing if it failed, and notes the failure in last_.
  template <typename T, typename Attempt>
  // The caller keeps the attempt, and awaits the task.
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
  Task<std::optional<T>> try_once(Attempt& attempt) {
    const TimeLimit limit = limit_of_attempt();
    std::optional<T> result;
    try {
      result.emplace(co_await attempt(limit));
      last_.reset();
    } catch (const CannotConnect& error) { note(error); } catch (const ConnectTimedOut& error) {
      note(error, limit);
    }
    co_return result;
  }

  /// Returns the limit of an attempt that begins now: its own or that of all, whichever is earlier.
  TimeLimit limit_of_attempt() const;
  /// Notes in last_ why an attempt failed; called while the exception is handled.
  void note(const CannotConnect& error);
  void note(const ConnectTimedOut& error, const TimeLimit& limit);
  /// Throws the last failure unless another attempt may follow, for which it uses up a retry.
  void plan_retry();
  [[noreturn]] void fail_at_limit() const;
  /// Waits for the next pause. Returns false if the limit has passed.
  Task<bool> pause();

  static constexpr Duration kLastPause = std::chrono::seconds(1);

  Reactor& reactor_;
  AttemptOptions options_;
  Backoff backoff_{options_.first_pause, kLastPause};
  std::optional<Failure> last_;
  WaitNotice notice_;
};

}  // namespace handoff
