// SPDX-License-Identifier: MIT
#include "async/attempts.hpp"

#include <algorithm>

namespace handoff {

TimeLimit Attempts::limit_of_attempt() const {
  return earlier(options_.limit, TimeLimit::after(Clock::now(), options_.attempt_timeout));
}

void Attempts::note(const CannotConnect& error) {
  last_ = Failure{error.attempt(), error.what(), error.failure(), false, std::current_exception()};
}

/// An attempt that the limit cuts short says less than the failure of the attempt before it.
void Attempts::note(const ConnectTimedOut& error, const TimeLimit& limit) {
  const bool is_cut_short = limit.when == options_.limit.when;
  if (is_cut_short && last_) { return; }
  last_ = Failure{error.attempt(),
                  error.what(),
                  {ETIMEDOUT, error.reason(), Outlook::may_change},
                  true,
                  std::current_exception()};
}

void Attempts::fail_at_limit() const {
  if (last_->timed_out) {
    throw ConnectTimedOut(last_->attempt, last_->why.reason, options_.limit);
  }
  throw CannotConnect(last_->attempt, last_->why, options_.limit);
}

void Attempts::plan_retry() {
  if (last_->why.outlook == Outlook::permanent) { std::rethrow_exception(last_->error); }
  if (Clock::now() >= options_.limit.when) { fail_at_limit(); }
  if (options_.mode == AttemptMode::retry && options_.retries-- <= 0) {
    std::rethrow_exception(last_->error);
  }
  notice_.wait(last_->text);
}

Task<bool> Attempts::pause_before_retry(std::string reason) {
  --options_.retries;
  const Quiet at_the_end{notice_};
  notice_.wait(reason);
  const bool in_time = co_await pause();
  co_return in_time;
}

Task<bool> Attempts::pause() {
  co_await reactor_.sleep_until(std::min(options_.limit.when, Clock::now() + backoff_.next()));
  co_return Clock::now() < options_.limit.when;
}

}  // namespace handoff
