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

enum class AttemptMode : std::uint8_t {
  retry,  ///< an attempt that fails uses up one of the retries
  wait,   ///< attempts are repeated until the limit
};

struct AttemptOptions {
  AttemptMode mode = AttemptMode::retry;
  int retries = 0;             ///< attempts after the first
  TimeLimit limit{};           ///< of all attempts and pauses together
  Duration attempt_timeout{};  ///< of each attempt; 0: none of its own
  /// Between the first two attempts; each pause is twice as long as the one before, up to 1 s.
  Duration first_pause = std::chrono::milliseconds(20);
  /// Is told why the attempts go on, as WaitNotice has it: "cannot connect to 127.0.0.1:80:
  /// Connection refused (waiting)".
  WaitNotice::Say on_waiting{};
  /// What it is told of an attempt that goes on for long: "no answer from 127.0.0.1:80 yet".
  std::string silence{};
};

/// Attempts to connect, with pauses between them that grow to 1 s. The same for every
/// tool that waits for a server.
///
/// An attempt that fails for a reason that can't change is the last one. At the limit the error is
/// that of the last attempt that was not cut short, with the limit's length.
class Attempts {
 public:
  Attempts(Reactor& reactor, AttemptOptions options)
      : reactor_(reactor), options_(std::move(options)), notice_(reactor, options_.on_waiting) {}
  Attempts(const Attempts&) = delete;
  Attempts& operator=(const Attempts&) = delete;

  /// Awaits `attempt(limit)`, a Task<T> that ends by the limit, until one succeeds. Throws what the
  /// last one has thrown, or CannotConnect or ConnectTimedOut at the limit. An attempt that throws
  /// anything but these two is the last. This object must outlive the task.
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
  /// For a call that failed after a connect had succeeded: uses up one of the retries, and waits
  /// for the pause before it, for this reason. Gives false, without waiting for longer, when the
  /// limit has passed.
  Task<bool> pause_before_retry(std::string reason);

 private:
  /// Ends the notice with the wait, however that ends.
  struct Quiet {
    WaitNotice& notice;
    ~Quiet() { notice.stop(); }
  };
  struct Failure {
    std::string attempt;  ///< "cannot connect to 127.0.0.1:80"
    std::string text;     ///< all of the message
    ConnectFailure why;
    bool timed_out;
    std::exception_ptr error;
  };

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

  TimeLimit limit_of_attempt() const;
  void note(const CannotConnect& error);
  void note(const ConnectTimedOut& error, const TimeLimit& limit);
  /// Throws the last failure unless another attempt may follow.
  void plan_retry();
  [[noreturn]] void fail_at_limit() const;
  Task<bool> pause();

  static constexpr Duration kLastPause = std::chrono::seconds(1);

  Reactor& reactor_;
  AttemptOptions options_;
  Backoff backoff_{options_.first_pause, kLastPause};
  std::optional<Failure> last_;
  WaitNotice notice_;
};

}  // namespace handoff
