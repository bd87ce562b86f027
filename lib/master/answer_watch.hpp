// SPDX-License-Identifier: MIT
#pragma once

namespace handoff {

/// Tells a worker that hangs from one that answers. It is asked a question in every quarter of a
/// timeout, and hangs once four quarters have passed since the first question that it has left
/// unanswered. Quarters are counted, not measured: those in which nobody looked, because the master
/// was suspended, are one at most.
class AnswerWatch {
 public:
  enum class Verdict { answers, hangs };
  /// How long ago the quarter was over when the master came to look.
  enum class Look { in_time, late };

  /// A quarter has passed; unless the worker hangs, it is to be asked now. A late look counts for
  /// nothing: the worker may have answered while nobody listened.
  Verdict quarter_passed(Look look) {
    if (asked_ && look == Look::in_time) ++unanswered_;
    asked_ = true;
    return unanswered_ < kQuarters ? Verdict::answers : Verdict::hangs;
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
