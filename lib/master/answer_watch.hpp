// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// Tells a worker that hangs from one that answers. It is asked a question in every quarter of a
/// timeout. It does not keep up while a question of the quarter before is unanswered, and hangs
/// once four quarters have passed since the first such question. Quarters are counted, not
/// measured: those in which nobody looked, because the master was suspended, are one at most.
class AnswerWatch {
 public:
  enum class Verdict { answers, does_not_keep_up, hangs };
  /// How long ago the quarter was over when the master came to look.
  enum class Look { in_time, late };

  /// A quarter has passed; unless the worker hangs, it is to be asked now. A late look counts for
  /// nothing: the worker may have answered while nobody listened.
  Verdict quarter_passed(Look look) {
    if (asked_ && look == Look::in_time) { ++unanswered_; }
    asked_ = true;
    if (unanswered_ == 0) { return Verdict::answers; }
    return unanswered_ < kQuarters ? Verdict::does_not_keep_up : Verdict::hangs;
  }
  void answered() {
    asked_ = false;
    unanswered_ = 0;
  }

  static constexpr int kQuarters = 4;

 private:
  bool asked_ = false;
  int unanswered_ = 0;  ///< quarters in a row
};

}  // namespace handoff
