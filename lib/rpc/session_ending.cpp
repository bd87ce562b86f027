// SPDX-License-Identifier: MIT
#include <sys/socket.h>

#include "os/socket.hpp"
#include "rpc/session.hpp"
#include "wire/last_reply.hpp"

/// Implements how a connection ends, or is given back.
namespace handoff {

void Session::be_lame_duck() {
  if (phase_ != SessionPhase::open) { return; }
  enter(calls_.any() ? SessionPhase::ending : SessionPhase::last_turn, CloseReason::drained);
}

/// Returns whether the connection has no reply to send after these, because of its phase. While it
/// drains, a request that is still unread is answered too.
bool Session::is_last(std::string_view replies) const {
  if (replies.empty() || calls_.any()) { return false; }
  switch (phase_) {
    case SessionPhase::last_turn: return !input_.has_frames();
    case SessionPhase::ending: return true;
    case SessionPhase::draining:
      return !context().gives_back() && !input_.holds_bytes() && !has_unread();
    default: return false;
  }
}

bool Session::has_unread() const {
  char byte = 0;
  return recv(stream_.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/// Sends the last replies, marked as such. The end of the connection follows at once, so that a
/// client that has the reply also sees the end before it sends another request.
void Session::send_last(std::string& replies) {
  mark_last_reply(replies, input_.framing(), context().limits().max_frame);
  enter(SessionPhase::ending, reason_);
  record_.busy();
  send(replies);
  if (phase_ == SessionPhase::ending && output_.empty()) { stream_.end_writing(); }
}

void Session::drain() {
  if (phase_ == SessionPhase::open || phase_ == SessionPhase::last_turn) {
    enter(SessionPhase::draining, CloseReason::drained);
  }
  if (phase_ == SessionPhase::draining || phase_ == SessionPhase::lingering) {
    stream_.interrupt();
  }
}

/// Bytes that are held make the connection end at once, because its client may never send the rest
/// of a frame, or never read a reply.
void Session::make_way() {
  if (input_.holds_bytes() || !output_.empty()) { enter(SessionPhase::closed, CloseReason::idle); }
  if (phase_ == SessionPhase::open || phase_ == SessionPhase::last_turn) {
    enter(SessionPhase::draining, CloseReason::idle);
  }
  stream_.interrupt();
}

Session::Await Session::finish() {
  if (phase_ == SessionPhase::refused || phase_ == SessionPhase::ending) {
    // Closing a socket that has unread input would reset the connection, and the client would lose
    // the reply that it has not read yet. So let it read first.
    stream_.end_writing();
    enter(SessionPhase::lingering, reason_);
    arm(Timeout::linger, after(context().limits().linger_timeout));
    return linger();
  }
  record_.closed();
  enter(SessionPhase::closed, reason_);
  // Shut down the connection itself, so that no copy of the descriptor in another process hides its
  // end from the client.
  shutdown(stream_.fd(), SHUT_RDWR);
  return Await::end;
}

Session::Await Session::linger() {
  context().input().clear();
  const IoResult result = stream_.try_read(context().input().room());
  if (result.done()) { return Await::others; }
  // A client that has all its replies need not hold up a server that stops.
  const bool may_go = reason_ == CloseReason::drained && context().draining();
  if (result.outcome == IoResult::Outcome::would_block && !may_go) { return Await::readable; }
  return finish();
}

/// Gives the connection back, between two frames, after every reply was written.
Session::Await Session::give_back() {
  record();
  Connection connection;
  connection.id = id_;
  connection.framing = input_.framing();
  connection.dialect = calls_.dialect();
  connection.unread = input_.unused();
  connection.peer = client().get();
  connection.socket = stream_.release();
  enter(SessionPhase::closed, CloseReason::returned);
  context().returned(std::move(connection));
  return Await::end;
}

}  // namespace handoff
