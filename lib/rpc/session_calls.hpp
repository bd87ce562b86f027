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

/// Answers the requests of one connection: at once, or by calls that run or wait. Keeps replies
/// without ids in order and the replies of a batch together, and starts no more calls than the
/// connection and the process have memory for. An idle connection holds nothing here. Used on the
/// reactor's thread only.
///
/// The owner sends the replies, and says what the rest of the connection holds.
class SessionCalls {
 public:
  /// What calls need to know of their connection.
  struct Surroundings {
    Framing framing;
    SessionPhase phase;
    std::size_t held;      ///< the number of bytes of its input and output
    bool awaits_client;    ///< whether replies wait for the client to read
    bool client_has_left;  ///< whether nothing that is written can reach the client
  };
  /// The connection, which is called while a request is answered, and when a call ends.
  class Owner {
   public:
    virtual Surroundings surroundings() const = 0;
    /// Returns the client's address as text, which is valid as long as the owner.
    virtual std::string_view peer() = 0;
    /// Called with replies to send, which may be none; the owner may change them. More may follow
    /// in the same turn.
    virtual void replies_ready(std::string& frames) = 0;
    /// Called when a call has ended, after other calls were started in its place.
    virtual void call_ended() = 0;
    /// Called when a call no longer waits for a place among all running calls.
    virtual void call_has_place() = 0;
    /// Returns whether it is the connection's turn to have a request read. Called only with
    /// SessionLimits::synchronous.
    virtual bool has_turn() const = 0;
    /// Says that the connection's turn is over. Called only with SessionLimits::synchronous.
    virtual void turn_is_over() = 0;
    /// Called when memory was short: the connection cannot go on.
    virtual void call_failed(std::string_view why) = 0;

   protected:
    ~Owner() = default;
  };
  /// The only request of a connection, which is executed or waits to be.
  struct OnlyRequest {
    std::string_view id;  ///< JSON; empty: it has none. Valid until a call begins or ends.
    Dialect dialect;
    bool is_answered;  ///< false for a notification
  };
  /// Whether another request may be read, or what it has to wait for.
  enum class Room : std::uint8_t {
    enough,
    calls,   ///< it waits until one of the connection's calls has ended
    turn,    ///< it waits until it is the connection's turn, and nothing is executed
    memory,  ///< it waits until the process holds less memory
    none     ///< it is refused, because too many connections already wait for memory
  };

  /// `dialect` is that of the connection's last valid request, which another process may have read.
  /// `owner` must outlive this object.
  SessionCalls(ServerContext& context, Owner& owner, Dialect dialect);
  SessionCalls(const SessionCalls&) = delete;
  SessionCalls& operator=(const SessionCalls&) = delete;
  /// Cancels the calls that still run. Their coroutines must not be resumed any more.
  ~SessionCalls();

  ServerContext& context() const { return context_; }
  Dialect dialect() const { return dialect_; }

  /// Answers the request or batch in `body`, the body of a frame. Appends the replies that are
  /// ready to `out`, as frames.
  void answer(std::string_view body, Framing framing, std::string& out);
  /// Why a request is not run.
  enum class NotRun : std::uint8_t { busy, shutting_down };
  /// Answers the request or batch with an error that says why it is not run.
  void answer_not_run(std::string_view body, Framing framing, NotRun why, std::string& out);
  /// Appends an error reply to `out`, or keeps it until the replies before it have left.
  void refuse(const BadRequest& bad, Framing framing, std::string& out);

  /// Returns whether any call runs or waits.
  bool any() const { return under_way_ && under_way_->count() > 0; }
  /// Returns the request of the only call, if there is exactly one, it is in no batch, and no other
  /// reply waits.
  std::optional<OnlyRequest> only_request() const;
  /// Returns whether any call was started and has not ended.
  /// Returns whether replies wait for others without ids, or may have to.
  bool keeps_order() const { return under_way_ && !under_way_->order.empty(); }
  bool any_runs() const { return under_way_ && !under_way_->running.empty(); }
  /// Returns whether another request may be read. May make the connection exempt from the memory
  /// budget; see MemoryBudget::Share.
  Room room() {
    if (takes_turns() && !owner_.has_turn()) { return Room::turn; }
    return room_for_call();
  }
  /// Does the same when it is the connection's turn anyway.
  Room room_for_call() {
    if (!under_way_ && share_.may_start_call()) { return Room::enough; }
    return room_beside_others();
  }
  /// Returns whether connections take turns, with one request each.
  bool takes_turns() const { return context_.limits().synchronous; }
  /// Says that a request was read. Call it only if connections take turns.
  void end_turn() { owner_.turn_is_over(); }
  /// Starts waiting calls as far as they may run now.
  void start_waiting() {
    if (under_way_) { start_next(); }
  }
  /// Forgets the calls that wait; those that run go on.
  void drop_waiting();
  /// Ends the running calls of a client that has left, except those whose handler supervises
  /// itself.
  void end_for_no_client();
  /// Says that the client has to read before the connection gets on.
  void wait_for_client() { share_.wait_for_client(); }

  /// Returns whether calls wait because those that are executed may have long replies.
  bool are_held_back() const { return under_way_ && holds_back(); }
  /// Says that calls have held up others for a while: expects shorter replies, and starts others.
  void take_long();
  /// Counts the bytes of the connection in the process's memory budget: those of its calls, and
  /// `besides`.
  void count_held(std::size_t besides) { share_.set(besides + held_by_calls()); }

  /// Ends a call with its result: at once, or, if another call is being begun, in the next turn of
  /// the loop.
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
  void log_answer(const Request& request, ErrorCode code) {
    if (context_.call_log() != nullptr) { log_instant(request, code); }
  }
  void log_instant(const Request& request, ErrorCode code);
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
