// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// Tells a worker that hangs from one that answers. The master asks the worker a question in every
/// quarter of a time-out. The worker does not keep up while a question of the quarter before is
/// unanswered, and hangs once four quarters have passed since the first such question. Quarters are
/// counted, not measured: those in which the master was suspended count as one at most.
class AnswerWatch {
 public:
  /// What the watch thinks of the worker.
  enum class Verdict { answers, does_not_keep_up, hangs };
  /// Says whether the master came in time when a quarter was over.
  enum class Look { in_time, late };

  /// Called when a quarter has passed. Returns the verdict; unless the worker hangs, the caller
  /// then asks it again. A late look counts for nothing: the worker may have answered while the
  /// master did not run.
  Verdict quarter_passed(Look look) {
    if (asked_ && look == Look::in_time) { ++unanswered_; }
    asked_ = true;
    if (unanswered_ == 0) { return Verdict::answers; }
    return unanswered_ < kQuarters ? Verdict::does_not_keep_up : Verdict::hangs;
  }
  /// Called when the worker has answered.
  void answered() {
    asked_ = false;
    unanswered_ = 0;
  }

  static constexpr int kQuarters = 4;

 private:
  bool asked_ = false;
  int unanswered_ = 0;  ///< quarters in a row without an answer
};

}  // namespace handoff
