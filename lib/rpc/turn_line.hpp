// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <deque>

namespace handoff {

class Session;

/// The connections of a server that executes one request at a time. One that has something to read
/// while another's request is executed waits here, and its bytes in the socket. Each has one
/// request read in its turn.
class TurnLine {
 public:
  /// Whether it is the turn of this one, which need not be in the line.
  bool is_turn_of(const Session& session) const {
    return waiting_.empty() || waiting_.front() == &session;
  }
  /// The one that has waited longest; null when none waits.
  Session* first() const { return waiting_.empty() ? nullptr : waiting_.front(); }
  void join(Session& session) { waiting_.push_back(&session); }
  void leave(const Session& session) {
    if (waiting_.front() == &session) { return waiting_.pop_front(); }
    std::erase(waiting_, &session);
  }

 private:
  std::deque<Session*> waiting_;
};

}  // namespace handoff
