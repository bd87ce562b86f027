// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <deque>

namespace handoff {

class Session;

/// The line of connections of a server that executes one request at a time. A connection that has
/// something to read while another one's request is executed waits here, and its bytes in the
/// socket. In its turn, each connection has one request read. Used on the reactor's thread only.
class TurnLine {
 public:
  /// Returns whether it is this session's turn: it is first, or none waits.
  bool is_turn_of(const Session& session) const {
    return waiting_.empty() || waiting_.front() == &session;
  }
  /// Returns the session that has waited longest, or null if none waits.
  Session* first() const { return waiting_.empty() ? nullptr : waiting_.front(); }
  /// Adds a session, which must not be in the line, at the end.
  void join(Session& session) { waiting_.push_back(&session); }
  /// Removes a session, which must be in the line.
  void leave(const Session& session) {
    if (waiting_.front() == &session) { return waiting_.pop_front(); }
    std::erase(waiting_, &session);
  }

 private:
  std::deque<Session*> waiting_;
};

}  // namespace handoff
