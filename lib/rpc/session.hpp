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

/// One client connection: reads frames, runs their methods, writes the replies.
///
/// - Requests that arrive together are answered with one write.
/// - Replies without ids keep the order of their requests; one with an id may overtake.
/// - Lines and JSON-RPC are told from the article's frames and messages by what the client sends.
/// - While replies wait for a client that does not read, nothing more is read from it; nor while it
///   makes the server hold as much as it may, or all connections do together.
/// - An idle connection holds no buffer.
class Session final : private Timer, private SessionCalls::Owner {
 public:
  /// Serves the connection until either side ends it, or it is given back. Returns at once; the
  /// context must outlive the connection.
  static void open(ServerContext& context, Connection connection);

  /// Finish what was started, then close or give back, as ServerContext::drain has it; an idle
  /// connection goes at once.
  void drain();
  /// When it ends if nothing happens; kNever while it has calls.
  TimePoint ends_at() const { return timeout_ == Timeout::none || calls_.any() ? kNever : due(); }
  /// For another connection: it ends at once, but for what can still be read from it.
  void make_way();
  /// It goes on, but its end is reported as CloseReason::abandoned.
  void abandon() { reason_ = CloseReason::abandoned; }
  /// Whether it is due to be deposited with the master; see ServerContext::Owner::deposited.
  DepositAge::Due grow_older() {
    return phase_ == SessionPhase::open ? deposit_.grow() : DepositAge::Due::never;
  }
  /// A copy of it for the master. Throws SystemError when there is no descriptor.
  Connection copy_for_deposit() const {
    return {.socket = duplicate(stream_.fd()), .id = id_, .peer = client_.get()};
  }
  /// Writes the replies of the turn that is over; see ServerContext::defer.
  void send_deferred();
  /// It is its turn; see ServerContext::line.
  void take_turn() { stream_.interrupt(); }
  /// Its number among the sessions of the context is another one.
  void renumber(std::uint32_t number) { number_ = number; }

 private:
  /// What the coroutine waits for before the next step.
  enum class Await : std::uint8_t {
    nothing,  ///< it does not wait
    readable,
    writable,
    calls,   ///< until one has ended, or the client has left
    memory,  ///< until the process holds less, or the client has left
    others,  ///< until the other connections had a turn of the loop
    turn,    ///< with SessionLimits::synchronous, until it may read a request
    end      ///< it has ended
  };
  /// Which deadline the timer stands for.
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
  Await answer(ReceiveBuffer& bytes, SessionInput::Received received);
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
    return phase_ == SessionPhase::open || phase_ == SessionPhase::draining;
  }
  /// Nothing that is written reaches it. One that has ended its sending side may still read.
  bool client_has_left() const { return phase_ == SessionPhase::closed || stream_.hung_up(); }
  ClientAddress& client();
  std::size_t held() const { return input_.held() + output_.held(); }
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
  void replies_ready(std::string_view frames) override;
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

  // Members in this order leave few gaps: there is one of these for each connection.
  std::uint64_t id_;
  Stream stream_;
  [[no_unique_address]] SessionInput input_;
  SessionPhase phase_ = SessionPhase::open;
  CloseReason reason_ = CloseReason::none;
  Timeout timeout_ = Timeout::none;
  Await awaited_ = Await::nothing;
  bool comes_idle_;       ///< nothing is read before there is something
  bool in_line_ = false;  ///< in ServerContext::line()
  DepositAge deposit_;
  std::uint32_t number_;  ///< among the sessions of the context
  SessionRecord record_;
  SessionOutput output_;
  ClientAddress client_;
  [[no_unique_address]] SessionCalls calls_;
};

}  // namespace handoff
