// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <handoff/async/reactor.hpp>
#include <handoff/async/stream.hpp>
#include <handoff/async/task.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/os/fd.hpp>

#include "pass/connection.hpp"
#include "rpc/answer_frames.hpp"
#include "rpc/client_address.hpp"
#include "rpc/deposit_age.hpp"
#include "rpc/server_context.hpp"
#include "rpc/session_calls.hpp"
#include "rpc/session_input.hpp"
#include "rpc/session_opening.hpp"
#include "rpc/session_output.hpp"
#include "rpc/session_phase.hpp"
#include "rpc/session_record.hpp"

namespace handoff {

/// One connection of a client: reads frames, runs their methods, writes the replies. Used on the
/// reactor's thread only.
///
/// - Requests that arrive together are answered with one write.
/// - Replies without ids keep the order of their requests; a reply with an id may overtake others.
/// - What the client sends first decides between lines and frames with a length, and each request
///   between JSON-RPC and the project's own messages.
/// - Nothing more is read from a client as long as replies wait for it to read, or as long as it
///   makes the server hold as much memory as one connection, or all of them together, may.
/// - An idle connection holds no buffer.
class Session final : private Timer, private SessionCalls::Owner {
 public:
  /// Takes over the connection, and serves it until either side ends it or it is given back.
  /// Returns at once. The context must outlive the connection. If the session cannot be made, the
  /// connection is closed, and its owner is told CloseReason::failed.
  static void open(ServerContext& context, Connection connection);

  /// Ends the connection after its next reply, which says that it is the last; see
  /// ServerContext::be_lame_duck(). Requests that arrive while its calls run are refused.
  void be_lame_duck();
  /// Finishes what has begun, and then closes the connection or gives it back, as
  /// ServerContext::drain() says; an idle connection ends at once.
  void drain();
  /// Returns when the connection ends if nothing happens; kNever as long as it has calls.
  TimePoint ends_at() const { return timeout_ == Timeout::none || calls_.any() ? kNever : due(); }
  /// Ends the connection to make room for another one. Requests that can already be read from it
  /// are still answered, unless part of a frame is held or a reply has not been taken.
  void make_way();
  /// Goes on serving, but its end will be reported as CloseReason::abandoned.
  void abandon() { reason_ = CloseReason::abandoned; }
  /// Says that a period of DepositTimer has passed. Returns whether the connection is due to be
  /// deposited with the master; see ServerContext::Owner::deposited.
  DepositAge::Due grow_older() {
    return phase_ == SessionPhase::open ? deposit_.grow() : DepositAge::Due::never;
  }
  /// Returns a copy of the connection for the master. Throws SystemError if there is no descriptor
  /// for it.
  Connection copy_for_deposit() const {
    return {.socket = duplicate(stream_.fd()), .id = id_, .peer = client_.get()};
  }
  /// Writes the replies of the turn that is ending; see ServerContext::defer.
  void send_deferred();
  /// Says that it is the session's turn to read a request; see ServerContext::line.
  void take_turn() { stream_.interrupt(); }
  /// Changes the session's number among the sessions of the context.
  void renumber(std::uint32_t number) { number_ = number; }

 private:
  /// What the coroutine waits for before it calls step() again.
  enum class Await : std::uint8_t {
    nothing,  ///< nothing: it runs
    readable,
    writable,
    calls,   ///< a call has ended, or the client has left
    memory,  ///< the process holds less memory, or the client has left
    others,  ///< the other connections have had a turn of the loop
    turn,    ///< with SessionLimits::synchronous: the session may read a request
    end      ///< nothing: it has ended
  };
  /// Which deadline the timer is armed for.
  enum class Timeout : std::uint8_t { none, idle, frame, write, linger, calls, memory };

  explicit Session(SessionOpening opening) noexcept;
  ~Session();

  static Task<void> serve(std::unique_ptr<SessionOpening> opening);
  static Task<void> pause(Session& session);

  void enter(SessionPhase next, CloseReason why);
  void fail(std::string_view why);

  Await step();
  Await read_or_wait();
  Await read_more();
  Await answer(ReceiveBuffer& bytes, SessionInput::Received received, Requests requests);
  Await wait_for_input();
  Await wait_for_calls();
  Await wait_for_turn();
  void leave_line() {
    if (std::exchange(in_line_, false)) { context().line().leave(*this); }
  }
  Await wait_for_memory();
  Await wait_for_client();
  Await finish();
  Await linger();
  Await give_back();
  void awaits(Await next);
  bool awaits_calls() const {
    return awaited_ == Await::calls || awaited_ == Await::turn || awaited_ == Await::memory;
  }

  bool reads_requests() const {
    return phase_ == SessionPhase::open || phase_ == SessionPhase::draining ||
           phase_ == SessionPhase::last_turn ||
           (phase_ == SessionPhase::ending && calls_.any() && !calls_.keeps_order());
  }
  /// Returns whether nothing that is written can reach the client. A client that has only ended its
  /// sending side may still read.
  bool client_has_left() const { return phase_ == SessionPhase::closed || stream_.hung_up(); }
  ClientAddress& client();
  std::size_t held() const { return input_.held() + output_.held(); }
  bool has_unread() const;
  bool is_last(std::string_view replies) const;
  void send_last(std::string& replies);
  void send(std::string_view bytes);
  void flush() {
    record_.busy();
    check(output_.flush(stream_));
  }
  void check(SessionOutput::Written written);

  void record();
  // SessionCalls::Owner
  SessionCalls::Surroundings surroundings() const override {
    return {input_.framing(), phase_, held(), !output_.empty(), client_has_left()};
  }
  std::string_view peer() override { return client().text(); }
  void replies_ready(std::string& frames) override;
  void call_ended() override;
  void call_has_place() override {
    if (awaits_calls() && !context().limits().reads_on_when_full) { stream_.interrupt(); }
  }
  bool has_turn() const override { return client_has_left() || context().is_turn_of(*this); }
  void turn_is_over() override { leave_line(); }
  void call_failed(std::string_view why) override { fail(why); }

  ServerContext& context() const { return calls_.context(); }
  TimePoint after(Duration duration) const {
    return deadline_after(context().reactor().now(), duration);
  }
  void arm(Timeout timeout, TimePoint when) {
    timeout_ = timeout;
    set(when);
  }
  void on_timer() override;
  void time_out();
  void frame_is_late();

  // The members stand in an order that leaves few gaps, because there is one session for each
  // connection.
  std::uint64_t id_;
  Stream stream_;
  [[no_unique_address]] SessionInput input_;
  SessionPhase phase_ = SessionPhase::open;
  CloseReason reason_ = CloseReason::none;
  Timeout timeout_ = Timeout::none;
  Await awaited_ = Await::nothing;
  bool comes_idle_;       ///< the connection came idle: read nothing until the socket is readable
  bool in_line_ = false;  ///< whether it is in ServerContext::line()
  DepositAge deposit_;
  std::uint32_t number_;  ///< its number among the sessions of the context
  SessionRecord record_;
  SessionOutput output_;
  ClientAddress client_;
  [[no_unique_address]] SessionCalls calls_;
};

}  // namespace handoff
