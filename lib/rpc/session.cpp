// SPDX-License-Identifier: MIT
#include "rpc/session.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "os/socket.hpp"
#include "rpc/answer_frames.hpp"

namespace handoff {
namespace {

/// How long calls whose replies may be long can hold up others before shorter replies are expected.
constexpr auto kLongCall = std::chrono::seconds(1);

/// How often a connection asks whether the process has memory again: other threads free memory too.
constexpr auto kMemoryPause = std::chrono::milliseconds(20);

}  // namespace

Session::Session(SessionOpening opening) noexcept
    : Timer(opening.context.reactor()),
      id_(opening.connection.id),
      stream_(opening.context.reactor(), std::move(opening.connection.socket),
              Stream::Kind::socket),
      input_(opening.connection.framing, std::move(opening.unread)),
      comes_idle_(opening.connection.framing != Framing::unknown &&
                  opening.connection.unread.empty()),
      number_(opening.context.add(*this)),
      record_(opening.connection.entry),
      output_(std::move(opening.owed)),
      client_(std::move(opening.client)),
      calls_(opening.context, *this, opening.connection.dialect) {
  keep_urgent_data(stream_.fd());
  if (context().draining()) { enter(SessionPhase::draining, CloseReason::drained); }
  if (context().is_lame_duck()) { enter(SessionPhase::last_turn, CloseReason::drained); }
  if (context().abandonments() != opening.abandonments) { abandon(); }
  if (opening.is_to_be_deposited()) { context().expect_deposit(deposit_); }
}

Session::~Session() {
  context().forget_deferred(*this);
  awaits(Await::end);
  context().remove(number_);
  if (reason_ == CloseReason::returned) { return; }
  // The reactor has ended before its connections, which are cut off.
  if (phase_ != SessionPhase::closed) { reason_ = CloseReason::abandoned; }
  context().closed(id_, reason_);
}

void Session::open(ServerContext& context, Connection connection) {
  const std::uint64_t id = connection.id;
  SessionRecord record(connection.entry);
  try {
    auto opening = std::make_unique<SessionOpening>(context, std::move(connection));
    context.prepare_to_open();
    context.reactor().spawn(serve(std::move(opening)));
  } catch (const std::exception& error) {
    record.closed();
    context.tell_failed(error.what());
    return context.closed(id, CloseReason::failed);
  }
  context.opened();
}

/// The coroutine's frame is what an idle connection costs. So it holds the opening by a pointer,
/// has one wait for every kind of readiness, and leaves the other wait to a coroutine of its own.
Task<void> Session::serve(std::unique_ptr<SessionOpening> opening) {
  Session session(std::move(*opening));
  opening.reset();
  for (;;) {
    try {
      session.awaits(session.step());
      session.calls_.count_held(session.held());
      if (session.awaited_ == Await::end) { co_return; }
      session.record();
      if (session.awaited_ == Await::others) {
        co_await pause(session);
      } else {
        // Where it waits for neither direction, only a hang-up or an interruption ends the wait.
        co_await session.stream_.ready(session.awaited_ == Await::readable   ? EPOLLIN
                                       : session.awaited_ == Await::writable ? EPOLLOUT
                                                                             : EPOLLHUP);
      }
    } catch (const std::exception& error) { session.fail(error.what()); }
    session.awaits(Await::nothing);
  }
}

// The caller shares the session, and awaits this task.
// NOLINTNEXTLINE(cppcoreguidelines-avoid-reference-coroutine-parameters)
Task<void> Session::pause(Session& session) {
  co_await session.context().reactor().yield();
}

void Session::awaits(Await next) {
  if (awaited_ == Await::memory) { context().memory_wait_ends(); }
  awaited_ = next;
  if (awaited_ == Await::memory) { context().memory_wait_begins(); }
  if (awaited_ != Await::turn && awaited_ != Await::nothing) { leave_line(); }
}

/// The one place that changes the phase.
///
///     phase        event                                       next         reason
///     open         the client ends its side                    half_closed  client
///     open         ServerContext::drain                        draining     drained
///     open         the idle deadline, or make_way              draining     idle
///     open         ServerContext::be_lame_duck, with calls     ending       drained
///     open         the same, without calls                     last_turn    drained
///     open         a stranger, a frame too long or too late    refused      protocol
///     last_turn    the client, a stranger: as when open
///     last_turn    ServerContext::drain, or the idle deadline  draining     drained, idle
///     last_turn    all that was read was answered, or runs     ending       as before
///     draining     its only reply is ready, nothing is unread  ending       as before
///     draining     the client ends its side                    half_closed  client
///     draining     a stranger, a frame too long or too late    refused      protocol
///     draining     nothing is under way or unread              closed       as before
///     draining     the same, and the server gives back         closed       returned
///     half_closed  every call has ended, every reply is taken  closed       as before
///     ending       the client ends its side                    half_closed  client
///     ending       every call has ended, every reply is taken  lingering    as before
///     refused      every call has ended, every reply is taken  lingering    as before
///     lingering    the client ends its side, or the deadline   closed       as before
///     lingering    ServerContext::drain, if nothing is unread  closed       as before
///     all          a read fails                                closed       client
///     all          a write fails, or the write deadline        closed       write_error
///     all          another call on this system fails           closed       failed
///
/// Nothing leaves `closed`. A connection that is abandoned keeps that as its reason, and is not
/// given back.
void Session::enter(SessionPhase next, CloseReason why) {
  if (phase_ == SessionPhase::closed) { return; }
  phase_ = next;
  if (reason_ != CloseReason::abandoned) { reason_ = why; }
  if (phase_ == SessionPhase::closed) { output_.drop(); }
}

void Session::record() {
  using Held = SessionRecord::Held;
  const bool holds_some = input_.holds_bytes() || !output_.empty();
  record_.update(phase_, holds_some ? Held::some : Held::nothing, input_.framing(), calls_);
}

/// Closes the connection because a system call has failed or memory is short. Calls that run must
/// end before the session can.
void Session::fail(std::string_view why) {
  if (phase_ == SessionPhase::closed) { return; }
  enter(SessionPhase::closed, CloseReason::failed);
  context().tell_failed(why);
  calls_.drop_waiting();
}

Session::Await Session::step() {
  if (phase_ == SessionPhase::lingering) { return linger(); }
  timeout_ = Timeout::none;
  if (!output_.empty()) { flush(); }
  calls_.start_waiting();
  if (calls_.any() && client_has_left()) { calls_.end_for_no_client(); }
  if (!output_.empty()) { return wait_for_client(); }
  if (phase_ == SessionPhase::draining && context().gives_back() &&
      reason_ != CloseReason::abandoned) {
    return calls_.any() ? wait_for_calls() : give_back();
  }
  if (reads_requests()) { return read_or_wait(); }
  return calls_.any() ? wait_for_calls() : finish();
}

Session::Await Session::read_or_wait() {
  // If this process dies, a request that it has read is lost, and one that is still in the socket
  // is not. So a connection that came idle is not read before it is readable.
  if (std::exchange(comes_idle_, false) && phase_ != SessionPhase::draining) {
    return wait_for_input();
  }
  switch (calls_.room()) {
    case SessionCalls::Room::enough:
    case SessionCalls::Room::none: return read_more();
    case SessionCalls::Room::calls: input_.stop_deadline(); return wait_for_calls();
    case SessionCalls::Room::turn:
      // No request is left to read, so there is no turn to wait for.
      if (!input_.holds_bytes() && stream_.is_at_end()) { return read_more(); }
      return wait_for_turn();
    case SessionCalls::Room::memory:
      // A client that has left has sent little more, and the end of its connection frees memory.
      if (input_.awaits_rest() && client_has_left()) { return read_more(); }
      return wait_for_memory();
  }
  return Await::end;
}

Session::Await Session::read_more() {
  record_.busy();
  const Requests requests =
      phase_ == SessionPhase::ending ? Requests::are_refused : Requests::are_run;
  ReceiveBuffer& bytes = input_.begin_turn(context().input());
  // Frames that were left when the last turn ended come first.
  if (input_.has_frames()) { return answer(bytes, SessionInput::Received::some, requests); }
  const SessionInput::Received received =
      input_.receive(bytes, stream_, context().limits().max_frame);
  switch (received) {
    case SessionInput::Received::some:
    case SessionInput::Received::all:
      if (input_.has_frames()) { return answer(bytes, received, requests); }
      return received == SessionInput::Received::all ? wait_for_input() : Await::others;
    case SessionInput::Received::nothing: return wait_for_input();
    case SessionInput::Received::end:
      enter(SessionPhase::half_closed, CloseReason::client);
      return bytes.empty() ? Await::others : answer(bytes, received, requests);
    case SessionInput::Received::broken:
      enter(SessionPhase::closed, CloseReason::client);
      return Await::others;
  }
  return Await::end;
}

Session::Await Session::answer(ReceiveBuffer& bytes, SessionInput::Received received,
                               Requests requests) {
  const auto more =
      phase_ == SessionPhase::half_closed ? MoreBytes::none_follow : MoreBytes::may_follow;
  std::string& out = context().output();
  out.clear();
  const Taken taken = answer_frames(input_, calls_, bytes, {more, requests}, out);
  if (taken == Taken::refused) { enter(SessionPhase::refused, CloseReason::protocol); }
  if (phase_ == SessionPhase::last_turn && calls_.any() && !input_.has_frames()) {
    enter(SessionPhase::ending, reason_);
  }
  if (phase_ != SessionPhase::open && is_last(out)) {
    send_last(out);
    return Await::others;
  }
  send(out);
  const bool is_drained =
      taken == Taken::all_frames && received == SessionInput::Received::all && output_.empty();
  return is_drained && reads_requests() ? wait_for_input() : Await::others;
}

Session::Await Session::wait_for_input() {
  const bool held_back = calls_.are_held_back();
  if (input_.holds_bytes()) {
    input_.start_deadline(after(context().limits().frame_timeout));
    const TimePoint look = held_back ? after(kLongCall) : kNever;
    arm(Timeout::frame, std::min(input_.due(), look));
  } else if (held_back) {
    arm(Timeout::calls, after(kLongCall));
  } else if (!calls_.any()) {
    if (phase_ == SessionPhase::draining) { return finish(); }
    arm(Timeout::idle, after(context().limits().idle_timeout));
  }
  return Await::readable;
}

Session::Await Session::wait_for_calls() {
  if (calls_.are_held_back()) { arm(Timeout::calls, after(kLongCall)); }
  return Await::calls;
}

/// Leaves the bytes that there are to read where they are, and stops the deadline of a frame
/// meanwhile.
Session::Await Session::wait_for_turn() {
  input_.stop_deadline();
  if (!std::exchange(in_line_, true)) { context().line().join(*this); }
  return Await::turn;
}

/// A frame that has begun keeps its deadline, because its start is part of the memory that the
/// process holds.
Session::Await Session::wait_for_memory() {
  if (input_.awaits_rest()) {
    input_.start_deadline(after(context().limits().frame_timeout));
  } else {
    input_.stop_deadline();
  }
  arm(Timeout::memory, std::min(input_.due(), after(kMemoryPause)));
  return Await::memory;
}

Session::Await Session::wait_for_client() {
  input_.stop_deadline();
  calls_.wait_for_client();
  arm(Timeout::write, after(context().limits().write_timeout));
  return Await::writable;
}

/// Asks the kernel for the client's address if the connection was passed without it.
ClientAddress& Session::client() {
  if (!client_.is_known()) { client_ = ClientAddress(peer_address(stream_.fd())); }
  return client_;
}

/// Defers the replies to the end of the turn if calls still run, because these may end in the same
/// turn.
void Session::replies_ready(std::string& frames) {
  if (phase_ == SessionPhase::closed) { return; }
  const bool was_blocked = output_.is_blocked();
  if (phase_ != SessionPhase::open && is_last(frames)) {
    send_last(frames);
  } else if (!calls_.any_runs()) {
    if (!frames.empty()) { record_.busy(); }
    send(frames);
  } else if (!frames.empty()) {
    const bool was_deferred = output_.is_deferred();
    output_.defer(frames);
    if (!was_deferred && output_.is_deferred()) { context().defer(*this); }
  }
  if (!was_blocked && output_.is_blocked()) { stream_.interrupt(); }
}

void Session::call_ended() {
  record();
  if (awaits_calls()) { return stream_.interrupt(); }
  if (calls_.any()) { return; }
  if (phase_ != SessionPhase::open) { return stream_.interrupt(); }
  if (timeout_ == Timeout::none) { arm(Timeout::idle, after(context().limits().idle_timeout)); }
}

void Session::send(std::string_view bytes) {
  if (phase_ == SessionPhase::closed) { return; }
  check(output_.send(stream_, bytes));
}

/// Does nothing if the replies were sent since they were deferred, with others or before a wait.
void Session::send_deferred() {
  if (!output_.is_deferred()) { return; }
  try {
    flush();
    calls_.start_waiting();
  } catch (const std::exception& error) { fail(error.what()); }
  record();
  calls_.count_held(held());
  if (!output_.empty() || phase_ == SessionPhase::closed) { stream_.interrupt(); }
}

void Session::check(SessionOutput::Written written) {
  if (written == SessionOutput::Written::whole) { return; }
  enter(SessionPhase::closed, CloseReason::write_error);
}

void Session::on_timer() {
  if (timeout_ == Timeout::none) { return; }
  try {
    time_out();
  } catch (const std::exception& error) { fail(error.what()); }
  stream_.interrupt();
}

void Session::time_out() {
  switch (timeout_) {
    case Timeout::none: break;
    case Timeout::idle: enter(SessionPhase::draining, CloseReason::idle); break;
    case Timeout::write: enter(SessionPhase::closed, CloseReason::write_error); break;
    case Timeout::linger: enter(SessionPhase::closed, reason_); break;
    case Timeout::frame:
    case Timeout::memory:
    case Timeout::calls:
      if (context().reactor().now() >= input_.due()) {
        frame_is_late();
      } else if (timeout_ != Timeout::memory && calls_.are_held_back()) {
        calls_.take_long();
      }
      break;
  }
}

void Session::frame_is_late() {
  record_.busy();
  std::string& out = context().output();
  out.clear();
  answer_late_frame(input_, calls_, out);
  enter(SessionPhase::refused, CloseReason::protocol);
  send(out);
}

}  // namespace handoff
