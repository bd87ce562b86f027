// SPDX-License-Identifier: MIT
#include "master/answer_watch.hpp"

#include <doctest/doctest.h>

namespace handoff {
namespace {

using Look = AnswerWatch::Look;
using Verdict = AnswerWatch::Verdict;

/// Whether the worker hangs after so many looks, in none of which it has answered.
bool hangs_after(AnswerWatch& watch, int looks, Look look = Look::in_time) {
  Verdict verdict = Verdict::answers;
  for (int i = 0; i < looks; ++i) { verdict = watch.quarter_passed(look); }
  return verdict == Verdict::hangs;
}

TEST_CASE("a worker hangs when four quarters have passed since a question without an answer") {
  AnswerWatch watch;
  CHECK(!hangs_after(watch, 4));  // the first look only asks
  CHECK(hangs_after(watch, 1));
  CHECK(hangs_after(watch, 1));
}

TEST_CASE("a worker that answers late, but before the fourth quarter has passed, does not hang") {
  AnswerWatch watch;
  for (int i = 0; i < 10; ++i) {
    CHECK(!hangs_after(watch, 4));
    watch.answered();
  }
  CHECK(!hangs_after(watch, 4));
  CHECK(hangs_after(watch, 1));
}

TEST_CASE("a look that comes late, after a suspension, counts for nothing") {
  AnswerWatch watch;
  CHECK(!hangs_after(watch, 4));
  CHECK(!hangs_after(watch, 100, Look::late));
  CHECK(hangs_after(watch, 1));
}

TEST_CASE("a worker keeps up again as soon as it has answered") {
  AnswerWatch watch;
  CHECK(watch.quarter_passed(Look::in_time) == Verdict::answers);
  CHECK(watch.quarter_passed(Look::late) == Verdict::answers);
  CHECK(watch.quarter_passed(Look::in_time) == Verdict::does_not_keep_up);
  CHECK(watch.quarter_passed(Look::late) == Verdict::does_not_keep_up);
  watch.answered();
  CHECK(watch.quarter_passed(Look::in_time) == Verdict::answers);
}

TEST_CASE("an answer that nobody has asked for changes nothing") {
  AnswerWatch watch;
  watch.answered();
  watch.answered();
  CHECK(!hangs_after(watch, 4));
  CHECK(hangs_after(watch, 1));
}

}  // namespace
}  // namespace handoff
