// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/async/clock.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/rpc/method_table.hpp>
#include <handoff/wire/errors.hpp>
#include <handoff/wire/request.hpp>

#include "async/deadlines.hpp"
#include "async/semaphore.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"
#include "rpc/call_pools.hpp"
#include "rpc/deposit_age.hpp"
#include "rpc/deposit_timer.hpp"
#include "rpc/held_ends.hpp"
#include "rpc/request_quota.hpp"
#include "rpc/session_limits.hpp"
#include "rpc/session_phase.hpp"
#include "rpc/turn_line.hpp"
#include "wire/receive_buffer.hpp"

namespace handoff {

class CallLog;
class Session;

/// Counters that other threads may read at any time; only the reactor's thread writes them.
struct ServerCounters {
  std::atomic<std::uint64_t> requests = 0;    ///< the number of requests since the start
  std::atomic<std::size_t> active_calls = 0;  ///< the number of calls that have begun or wait
};

/// What a drain does with a connection once nothing on it is under way.
enum class WhenDrained : std::uint8_t {
  close,     ///< closes it
  give_back  ///< passes it to Owner::returned, with its unread bytes
};

/// The functions that report to the owner of the connections, on the reactor's thread. Each may be
/// null, but drain() needs `returned` for WhenDrained::give_back.
struct ServerOwner {
  /// Called when a connection was closed. For each connection that was opened, either this or
  /// `returned` is called, once.
  std::function<void(std::uint64_t id, CloseReason why)> closed{};
  /// Called to give a connection back; the owner takes it over.
  std::function<void(Connection)> returned{};
  /// Called with a copy for the master when a connection that this worker accepted itself (its id
  /// has the bit channel::kOwnId, and it has an entry in a ledger) has been open for about a
  /// second; called once for each such connection. Without this function no connection is copied.
  std::function<void(Connection)> deposited{};
  /// Called with a line for the log when a connection was closed because a system call has failed
  /// or memory was short. Only that connection is lost.
  std::function<void(std::string_view)> failed{};
  /// Called when the last request of the quota was counted.
  std::function<void()> quota_used_up{};
};

/// What a context shares with other threads. Each may be null, and must outlive the context.
struct ServerShared {
  ServerCounters* counters = nullptr;
  RequestQuota* quota = nullptr;
  const CallLog* calls = nullptr;
};

/// What all connections of one reactor share: the methods, the limits, the counters, and memory
/// that is used only between two waits, so that an idle connection holds none. Used on the
/// reactor's thread only.
class ServerContext final : private PollSource {
 public:
  using Owner = ServerOwner;
  using Shared = ServerShared;

  /// The reactor must outlive the context, and the context must outlive its connections.
  ServerContext(Reactor& reactor, std::shared_ptr<const MethodTable> methods,
                const SessionLimits& limits, Owner owner = {}, Shared shared = {});
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;
  ~ServerContext();

  Reactor& reactor() const { return reactor_; }
  const SessionLimits& limits() const { return limits_; }
  const std::shared_ptr<const MethodTable>& methods() const { return methods_; }
  /// Replaces the methods. Calls that have begun keep the table with which they began.
  void replace_methods(std::shared_ptr<const MethodTable> methods);

  /// From now on, every connection ends after its next reply, new ones too, so that clients leave
  /// in order before a drain. Does nothing once drain() was called.
  void be_lame_duck();
  bool is_lame_duck() const { return leaving_ == Leaving::lame_duck; }
  /// From now on, every connection finishes what has begun, and is then closed or given back. A
  /// later call changes which of the two.
  void drain(WhenDrained what);
  bool draining() const { return leaving_ >= Leaving::closing; }
  bool gives_back() const { return leaving_ == Leaving::giving_back; }
  /// Ends the drain: connections that are opened from now on are served until they end by
  /// themselves.
  void resume() { leaving_ = Leaving::none; }
  /// Loses interest in the connections that are open now, because the master that would have been
  /// told of their ends is gone: each ends by itself, is reported with CloseReason::abandoned, and
  /// is not given back.
  void abandon();
  /// From now on, no function of the owner is called.
  void forget_owner() { owner_ = {}; }
  /// Ends the connection that its own limits would end first among those without a call under way.
  /// If a request of it has already arrived, that is still answered. Returns false if there is no
  /// such connection.
  bool close_idlest();

  std::size_t open_connections() const { return open_; }
  std::uint64_t requests() const { return requests_; }
  std::size_t active_calls() const { return active_calls_; }
  /// Returns the number of connections that wait until the process holds less memory.
  std::size_t waiting_for_memory() const { return waiting_for_memory_; }

  /// From now on, also counts in this ledger, as the worker's thread of this number, and in no
  /// earlier ledger; null means in none. A connection that was passed with an entry of an earlier
  /// ledger keeps that entry.
  /// Calls are counted by method too if the ledger has room for that: under the names that are in
  /// it now, or at the time of replace_methods().
  void count_in(std::shared_ptr<const ledger::Ledger> ledger, std::uint32_t thread);
  /// Counts requests, whether a client or the queue of a master has sent them.
  void count_requests(std::size_t count) {
    requests_ += count;
    if (publishes_requests_) { publish_requests(count); }
  }
  /// Returns the method that a request names, or null if there is none, and counts the request
  /// under it.
  const Method* find_and_count(std::string_view name) {
    const Method* method = methods_->find(name);
    if (method_counters_ != nullptr) {
      ledger::Counters::add(method_counters_[slot_of(method)].requests, 1);
    }
    return method;
  }

  // The functions below are for sessions.

  static constexpr std::size_t kInputSize = 64 * 1024;
  /// Buffers to read and to write into. Their contents do not survive a wait.
  ReceiveBuffer& input() { return input_; }
  std::string& output() { return output_; }
  std::string& body() { return body_; }
  RequestParser& parser() { return parser_; }
  /// Returns the objects that calls reuse.
  CallPools& pools() { return pools_; }
  Deadlines& deadlines() { return deadlines_; }
  HeldEnds& held_ends() { return held_ends_; }
  /// Returns the places of running calls: as many calls of all connections run as there are places.
  Semaphore& places() { return places_; }
  /// Returns the line of the sessions that wait to read a request. Used only with
  /// SessionLimits::synchronous.
  TurnLine& line() { return line_; }
  /// Returns whether this session may read a request now. Used only with
  /// SessionLimits::synchronous.
  bool is_turn_of(const Session& session) const {
    return places_.available() && line_.is_turn_of(session);
  }

  /// These count the calls under way.
  void call_begins() { publish_calls(++active_calls_); }
  void call_ends() { publish_calls(--active_calls_); }
  /// Returns the slot under which the calls of a method are counted; null: no method has the name.
  static ledger::MethodSlot slot_of(const Method* method) {
    return method != nullptr ? method->slot : ledger::kUnknownMethods;
  }
  /// Counts an error that is sent as a reply and concerns no method; a code of 0 is no error.
  void count_error(ErrorCode code) {
    if (code == ErrorCode{} || ledger_counters_ == nullptr) { return; }
    ledger_counters_->count_error(static_cast<int>(code));
  }
  /// Counts an error that is the reply to a request for the method of this slot.
  void count_error(ErrorCode code, ledger::MethodSlot slot) {
    if (code == ErrorCode{}) { return; }
    count_error(code);
    count_method_error(code, slot);
  }
  /// Counts it only under the method, because count_error(code) has counted it already.
  void count_method_error(ErrorCode code, ledger::MethodSlot slot) {
    if (method_counters_ != nullptr) { method_counters_[slot].count_error(static_cast<int>(code)); }
  }
  /// Returns where calls are logged; null if they are not.
  const CallLog* call_log() const { return shared_.calls; }
  /// Returns since when a request was there that is answered at once: since the reactor woke, or
  /// since the last such request was answered. So no clock is read for it unless it is logged. Call
  /// it once for each.
  TimePoint take_start_of_instant() {
    return std::max(reactor_.now(), std::exchange(instant_ended_, Clock::now()));
  }
  /// Returns the time for count_call() and the log, for a call that begins now; zero if calls are
  /// not timed.
  TimePoint start_of_call() const {
    const bool is_wanted = ledger_counters_ != nullptr || shared_.calls != nullptr;
    return is_wanted ? Clock::now() : TimePoint();
  }
  /// Counts a call that has ended, and its duration, in total and under its method.
  void count_call(TimePoint start, ledger::MethodSlot slot);
  /// These count the connections that wait for memory.
  void memory_wait_begins() { ++waiting_for_memory_; }
  void memory_wait_ends() { --waiting_for_memory_; }
  /// Calls Owner::failed. Does not throw.
  void tell_failed(std::string_view what) const;

  /// Makes room for one more session, so that add() cannot fail. Call opened() when the session is
  /// certain to begin; it counts as open from then on. Throws std::bad_alloc.
  void prepare_to_open();
  void opened() { ++open_; }
  /// Says that a session with this age is new, and is to be deposited with the master once it has
  /// been open for a while.
  void expect_deposit(DepositAge& age) {
    if (!owner_.deposited) { return; }
    age.begin();
    deposit_timer_.start();
  }
  /// Returns how often abandon() was called. abandon() does not know the sessions that were opened
  /// and have not begun yet; by this number they find out that they were meant too.
  std::uint32_t abandonments() const { return abandonments_; }
  /// Adds a session that has begun. Returns its number, which Session::renumber may change later.
  std::uint32_t add(Session& session);
  /// Removes the session with this number.
  void remove(std::uint32_t number);
  /// These call the functions of the owner.
  void closed(std::uint64_t id, CloseReason why);
  void returned(Connection connection);
  /// Has Session::send_deferred() called at the end of the turn, unless forget_deferred() comes
  /// first.
  void defer(Session& session) { deferring_.push_back(&session); }
  void forget_deferred(Session& session) { std::erase(deferring_, &session); }

 private:
  void publish_requests(std::size_t count);
  void publish_calls(std::size_t count) {
    if (shared_.counters != nullptr) {
      shared_.counters->active_calls.store(count, std::memory_order_relaxed);
    }
    if (ledger_counters_ != nullptr) {
      ledger_counters_->active_calls.store(count, std::memory_order_relaxed);
    }
  }
  /// Finds the slots of the methods in the ledger.
  void assign_slots();
  bool deposit_sessions();
  /// Runs at the end of each turn of the reactor: delivers results that were held, sends the
  /// replies of the turn, and lets the next session in line read. Returns whether a call has begun.
  bool poll() override;

  Reactor& reactor_;
  std::shared_ptr<const MethodTable> methods_;
  SessionLimits limits_;
  Owner owner_;
  Shared shared_;
  bool publishes_requests_;  ///< whether publish_requests() has anything to do
  ledger::Counters* ledger_counters_ = nullptr;
  ledger::Counters* method_counters_ = nullptr;  ///< by slot; null if none are counted
  /// The ledgers in which connections may have entries; the last is the current one.
  std::vector<std::shared_ptr<const ledger::Ledger>> ledgers_;
  Semaphore places_;
  TurnLine line_;
  RequestParser parser_;
  ReceiveBuffer input_{kInputSize};
  std::string output_;
  std::string body_;
  CallPools pools_;
  Deadlines deadlines_;
  HeldEnds held_ends_;
  std::size_t open_ = 0;
  std::vector<Session*> sessions_;  ///< the sessions that have begun, by their numbers
  DepositTimer deposit_timer_;
  std::size_t waiting_for_memory_ = 0;
  std::vector<Session*> deferring_;
  std::uint64_t requests_ = 0;
  std::size_t active_calls_ = 0;
  TimePoint instant_ended_{};  ///< when a request was last answered at once and logged
  std::uint32_t abandonments_ = 0;
  /// How the connections end, in the order in which a server that stops gets on.
  enum class Leaving : std::uint8_t { none, lame_duck, closing, giving_back };
  Leaving leaving_ = Leaving::none;
};

}  // namespace handoff
