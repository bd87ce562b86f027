// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <handoff/async/task.hpp>
#include <handoff/rpc/method_table.hpp>
#include <handoff/wire/dialect.hpp>
#include <handoff/wire/request.hpp>

#include "rpc/batch_replies.hpp"
#include "rpc/calls_under_way.hpp"
#include "rpc/dispatch.hpp"
#include "rpc/memory_budget.hpp"
#include "rpc/reply_estimate.hpp"
#include "rpc/server_context.hpp"
#include "rpc/session_call.hpp"
#include "wire/framing.hpp"

namespace handoff {

/// Answers the requests of one connection: at once, or by calls that run or wait. Keeps the order
/// of replies without ids and the replies of a batch together, and starts no more calls than the
/// connection and the process have memory for. An idle connection holds nothing here.
///
/// What calls leave to be sent, and what the rest of the connection holds, is the owner's.
class SessionCalls {
 public:
  /// What calls need to know of their connection.
  struct Surroundings {
    Framing framing;
    SessionPhase phase;
    std::size_t held;      ///< bytes of its input and its output
    bool awaits_client;    ///< replies wait for the client to read
    bool client_has_left;  ///< nothing that is written reaches it
  };
  /// The connection. Called while a request is answered, and when a call ends.
  class Owner {
   public:
    virtual Surroundings surroundings() const = 0;
    /// The client's address as text. Valid for as long as the owner.
    virtual std::string_view peer() = 0;
    /// Replies are ready, maybe none. Others may follow in this turn.
    virtual void replies_ready(std::string_view frames) = 0;
    /// A call has ended, and what can be started instead was.
    virtual void call_ended() = 0;
    /// A call that waited for a place among all calls waits no more.
    virtual void call_has_place() = 0;
    /// With SessionLimits::synchronous: whether it is the connection's turn to have a request read.
    virtual bool has_turn() const = 0;
    /// The same: its turn is over.
    virtual void turn_is_over() = 0;
    /// Memory was short; the connection can't go on.
    virtual void call_failed(std::string_view why) = 0;

   protected:
    ~Owner() = default;
  };
  /// A request that is executed, or waits to be.
  struct OnlyRequest {
    std::string_view id;  ///< JSON; empty when it has none. Valid until a call begins or ends.
    Dialect dialect;
    bool is_answered;  ///< a notification is not
  };
  /// Whether one more request may be read, or what it has to wait for.
  enum class Room : std::uint8_t {
    enough,
    calls,   ///< until one of the connection's calls has ended
    turn,    ///< until it is the connection's turn, and nothing is executed
    memory,  ///< until the process holds less
    none     ///< it need not wait: it is refused, for too many wait for memory
  };

  /// `dialect` is that of the last valid request, elsewhere.
  SessionCalls(ServerContext& context, Owner& owner, Dialect dialect);
  SessionCalls(const SessionCalls&) = delete;
  SessionCalls& operator=(const SessionCalls&) = delete;
  /// Calls that still run are cancelled; their coroutines must not be resumed any more.
  ~SessionCalls();

  ServerContext& context() const { return context_; }
  Dialect dialect() const { return dialect_; }

  /// Answers the request or batch in `body`: appends what is ready to `out`.
  void answer(std::string_view body, Framing framing, std::string& out);
  /// Answers it with the error that the server is busy.
  void answer_busy(std::string_view body, Framing framing, std::string& out);
  /// Appends an error to `out`, or keeps it until the replies before it have left.
  void refuse(const BadRequest& bad, Framing framing, std::string& out);

  /// Calls that run or wait.
  bool any() const { return under_way_ && under_way_->count() > 0; }
  /// The request of the only call, if it is in no batch and no reply waits for its own.
  std::optional<OnlyRequest> only_request() const;
  bool any_runs() const { return under_way_ && !under_way_->running.empty(); }
  Room room() {
    if (takes_turns() && !owner_.has_turn()) { return Room::turn; }
    return room_for_call();
  }
  /// The same where it is the connection's turn anyway.
  Room room_for_call() {
    if (!under_way_ && share_.may_start_call()) { return Room::enough; }
    return room_beside_others();
  }
  /// Whether connections take turns, a request each.
  bool takes_turns() const { return context_.limits().synchronous; }
  /// With takes_turns(): a request was read.
  void end_turn() { owner_.turn_is_over(); }
  /// Starts calls that wait, as far as they may run now.
  void start_waiting() {
    if (under_way_) { start_next(); }
  }
  /// Forgets the calls that wait; those that run go on.
  void drop_waiting();
  /// Ends the calls that run for a client that is no longer there.
  void end_for_no_client();
  /// The client has to read before the connection gets on.
  void wait_for_client() { share_.wait_for_client(); }

  /// Whether calls wait because those that are executed may bring long replies.
  bool are_held_back() const { return under_way_ && holds_back(); }
  /// Calls have held up others for a while: expects shorter replies, and starts others.
  void take_long();
  /// Counts what the connection holds in the process's budget, these bytes besides its calls.
  void count_held(std::size_t besides) { share_.set(besides + held_by_calls()); }

  /// Ends a call with its result: at once, or, while a call begins, in the next turn of the loop.
  void finished(SessionCall& call, const ResultView& result);

 private:
  CallsUnderWay& under_way();
  Room room_beside_others();
  void start_next();
  bool holds_back() const;
  Instant instant() const;
  void answer_request(const ParsedRequest& parsed, Framing framing, std::string& out);
  void answer_batch(std::span<const ParsedRequest> requests, Framing framing, std::string& out);
  ErrorCode append_answer(const Request& request, const Dispatched& answer, std::string& out);
  void append_refusal(const BadRequest& bad, Framing framing, std::string& out);
  void log_answer(const Request& request, ErrorCode code, TimePoint begun) {
    if (context_.call_log() != nullptr) { log_instant(request, code, begun); }
  }
  void log_instant(const Request& request, ErrorCode code, TimePoint begun);
  void log_refusal(ErrorCode code);
  void log_end(const SessionCall& call, ErrorCode code) const;
  void keep_in_order(const std::string& reply);
  SessionCall& add_call(const Method& method, const Request& request, ReplyTarget target);
  void start(SessionCall& call);
  void run(SessionCall& call);
  void begin(SessionCall& call);
  static Task<void> run_pending(SessionCalls& calls, SessionCall& call);
  void wait_again(SessionCall& call);
  void has_place();
  void end(SessionCall& call, const ResultView& result);
  void encode(SessionCall& call, const ResultView& result, std::string& out);
  void add_to_batch(const ReplyTarget& target, std::string_view body, std::string& out);
  void leave_in_order(SessionCall& first, std::string& out);
  void drop(SessionCall& call);
  void drop_order();
  bool may_run_another(const Surroundings& now);
  bool may_go_on();
  bool may_begin(std::size_t others, const Surroundings& now);
  std::size_t most_executing(const Surroundings& now) const;
  std::size_t held() const;
  std::size_t held_by_calls() const {
    return under_way_ ? under_way_->held + under_way_->order.held() : 0;
  }

  ServerContext& context_;
  Owner& owner_;
  std::unique_ptr<CallsUnderWay> under_way_;
  MemoryBudget::Share share_;
  ReplyEstimate estimate_;
  Dialect dialect_;
};

}  // namespace handoff
