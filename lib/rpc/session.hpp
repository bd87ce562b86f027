// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "async/race.hpp"
#include "async/reactor.hpp"
#include "async/stream.hpp"
#include "async/task.hpp"
#include "async/timer.hpp"
#include "rpc/client_address.hpp"
#include "rpc/dispatch.hpp"
#include "rpc/memory_budget.hpp"
#include "rpc/reply_estimate.hpp"
#include "rpc/server_context.hpp"
#include "wire/byte_queue.hpp"
#include "wire/framing.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {

/// One client connection: reads frames, runs their methods, writes the replies.
///
/// - Requests that arrive together are answered with one write.
/// - Replies without ids keep the order of their requests; one with an id may overtake.
/// - Lines and JSON-RPC are told from the article's frames and messages by what the client sends.
/// - While replies wait for a client that does not read, nothing more is read from it; nor while it
///   makes the server hold as much as it may, or all connections do together.
/// - An idle connection holds no buffer.
class Session final : private Timer {
  friend struct Service;

 public:
  /// Serves the connection, whose unread bytes are in memory, until either side ends it, or it is
  /// given back. Returns at once; the service must outlive the connection.
  static void open(Service& service, Connection connection);

  /// Finish what was started, then close or give back, as Service::drain has it; an idle
  /// connection goes at once.
  void drain();
  /// When it ends if nothing happens; kNever while it has calls.
  TimePoint ends_at() const { return limit_ == Limit::none || has_calls() ? kNever : due(); }
  /// For another connection: it ends at once, but for what can still be read from it.
  void make_way();
  /// Nobody is told of its end.
  void abandon() { id_ = 0; }

 private:
  /// What the coroutine waits for before the next step.
  enum class Next {
    readable,
    writable,
    call_finished,  ///< or the client has left
    turn,
    end
  };
  enum class State : std::uint8_t {
    open,
    draining,   ///< goes as soon as nothing is under way
    ended,      ///< the client sends no more; what runs is still answered
    refused,    ///< no client, or it broke the protocol; it gets what was written, and is closed
    lingering,  ///< all was written; wait until the refused client has read it
    broken,     ///< nothing can be written any more
  };
  /// Which deadline the timer stands for.
  enum class Limit : std::uint8_t { none, idle, frame, write, linger, calls, memory };
  /// Whether one more request may be read, or what it has to wait for.
  enum class Room : std::uint8_t {
    enough,
    calls,   ///< until one of the connection's calls has ended
    memory,  ///< until the process holds less
    none,    ///< it need not wait: it is refused, for too many wait for memory
  };
  struct PendingCall {
    std::string reply;        ///< the encoded frame, once it is there
    std::size_t counted = 0;  ///< bytes of it in Calls::held
    bool done = false;
  };
  /// The replies of a batch, collected.
  struct Batch {
    std::string replies;  ///< with a comma behind each
    bool too_long = false;
    std::size_t left = 0;     ///< calls that have not finished
    std::size_t counted = 0;  ///< bytes of `replies` in Calls::held
  };
  /// Where the reply of a call goes, and what it must say to be understood.
  struct ReplyPlace {
    Dialect dialect = Dialect::article;
    bool wanted = true;  ///< not by a notification
    PendingCall* ordered = nullptr;
    std::shared_ptr<Batch> batch;
    std::size_t counted = 0;  ///< bytes of the request in Calls::held
  };
  struct NextCall {
    std::shared_ptr<const MethodTable> table;  ///< keeps `method` alive
    const Method* method;
    Call call;
    ReplyPlace place;
    SemaphorePlace turn{};  ///< to run; without one it waits
  };
  /// Calls that did not finish at once. Only there while there are some, or are waited for.
  struct Calls {
    std::list<PendingCall> in_order;  ///< without id: their replies leave in this order
    std::list<NextCall> next;         ///< that wait for those that run
    std::size_t running = 0;
    std::size_t waiting = 0;         ///< of those, for a place among all that run
    std::size_t held = 0;            ///< bytes of all requests, and of replies that wait for others
    std::shared_ptr<CallGate> gate;  ///< with SessionLimits::begins_elsewhere
    Cancellation client_left;
  };

  struct Opening {
    Service& service;
    Connection connection;
    std::unique_ptr<ReceiveBuffer> partial;
    ClientAddress client;
  };
  explicit Session(Opening opening) noexcept;
  ~Session();

  static Task<void> serve(std::unique_ptr<Opening> opening);
  static Task<void> pause(Session& session);

  Next step();
  Next read_more();
  Next process(ReceiveBuffer& input, bool drained_socket);
  Next wait_for_input();
  Next finish();
  Next linger();
  Next give_back();
  Next wait_for_calls();
  Next wait_for_memory();
  void keep_rest(ReceiveBuffer& input);
  ClientAddress& client();

  void judge(ReceiveBuffer& input, std::string& out, bool complete);
  bool goes_on(std::span<const char> line_part, const ReceiveBuffer& input) const;
  void answer(std::string_view body, std::string& out);
  void answer_busy(std::string_view body, std::string& out);
  void answer_request(const ParsedRequest& parsed, std::string& out);
  void answer_batch(std::span<const ParsedRequest> requests, std::string& out);
  void refuse(const BadRequest& bad, std::string& out);
  void start_call(const Method& method, const Request& request, ReplyPlace place);
  void run(NextCall next);
  void start_next_calls();
  static Task<void> run_call(Session& session, NextCall next);
  void call_waits_no_more();
  bool client_has_left() const;
  Calls& calls();
  Instant instant() const;
  void append_answer(const Request& request, const Dispatched& answer, std::string& out) const;
  void collect(Batch& batch, std::string_view reply) const;
  void complete(const ReplyPlace& place, std::string_view name, std::string_view id,
                const Result& result);
  void finish_batch(Batch& batch, std::string& out);
  std::string& place_for_reply(bool ordered, std::string& out);
  bool has_calls() const { return calls_ && (calls_->running > 0 || !calls_->next.empty()); }
  Room room_for_call();
  bool may_run_another();
  bool may_begin(std::size_t others);
  bool holds_back_calls() const;
  std::size_t most_executing() const;
  std::size_t executing() const { return calls_->running - calls_->waiting; }
  void wait_again(NextCall next);
  std::size_t held() const;
  void count_held();
  void count_reply(PendingCall& call);
  void frame_is_late();
  void calls_take_long();
  void arm(Limit limit, TimePoint when);
  void arm_for(Limit limit, Duration duration);
  void send(std::string_view bytes);
  void defer(std::string_view bytes);
  void send_deferred();
  void send_unsent();
  void set_broken();
  void fail(std::string_view why);
  void encode(const ReplyPlace& place, std::string_view name, std::string_view id,
              const Result& result, std::string& out);
  void time_out();
  void on_timer() override;

  std::uint32_t index_;  ///< our place in service_.sessions
  ReplyEstimate estimate_;
  Service& service_;
  MemoryBudget::Share share_;
  std::uint64_t id_;
  Stream stream_;
  std::unique_ptr<ReceiveBuffer> partial_;  ///< bytes that are not yet used, if any
  std::unique_ptr<Calls> calls_;
  ClientAddress client_;
  std::unique_ptr<ByteQueue> unsent_;  ///< bytes that the client does not take, if any
  TimePoint due_ = kNever;  ///< when a partial frame must be whole, or a lingering client gone
  Framing framing_;         ///< unknown until the start of the connection was judged
  Dialect dialect_ = Dialect::article;  ///< of the last valid request
  State state_ = State::open;
  Limit limit_ = Limit::none;
  bool unprocessed_ = false;  ///< partial_ may hold whole frames, left when a turn ended
  bool returned_ = false;
  bool waits_for_call_ = false;  ///< until one has finished, or the client has left
  bool paused_ = false;          ///< it is counted in service_.paused
  bool deferred_ = false;        ///< unsent_ waits for no more than the end of the turn
};

}  // namespace handoff
