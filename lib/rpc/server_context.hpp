// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
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

/// Counts that other threads may read while the reactor's thread goes on.
struct ServerCounters {
  std::atomic<std::uint64_t> requests = 0;    ///< since the start
  std::atomic<std::size_t> active_calls = 0;  ///< that have begun or wait
};

/// What a drain does with a connection once nothing of it is under way.
enum class WhenDrained : std::uint8_t {
  close,
  give_back  ///< to Owner::returned, with what is left to do
};

/// What the owner of the connections is told, on the reactor's thread.
struct ServerOwner {
  /// A connection is closed. Of each that was opened this or `returned` is called, once.
  std::function<void(std::uint64_t id, CloseReason why)> closed{};
  /// A connection is given back.
  std::function<void(Connection)> returned{};
  /// A connection that has an entry in a ledger and a number of ours (channel::kOwnId) has been
  /// open for a second: a copy of it for the master. Called once for each; without this function
  /// none is copied.
  std::function<void(Connection)> deposited{};
  /// A line about a connection that was closed because a call on this system failed, or memory
  /// was short: it costs that connection alone.
  std::function<void(std::string_view)> failed{};
  /// The last request of the quota was counted.
  std::function<void()> quota_used_up{};
};

/// What is shared with other threads; each may be missing. A context must not outlive them.
struct ServerShared {
  ServerCounters* counters = nullptr;
  RequestQuota* quota = nullptr;
  const CallLog* calls = nullptr;
};

/// What all connections of one reactor share: the methods, the limits, the counts, and memory that
/// is only used between two waits, so that an idle connection holds none. Everything is for the
/// reactor's thread.
class ServerContext final : private PollSource {
 public:
  using Owner = ServerOwner;
  using Shared = ServerShared;

  ServerContext(Reactor& reactor, std::shared_ptr<const MethodTable> methods,
                const SessionLimits& limits, Owner owner = {}, Shared shared = {});
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;
  ~ServerContext();

  Reactor& reactor() const { return reactor_; }
  const SessionLimits& limits() const { return limits_; }
  const std::shared_ptr<const MethodTable>& methods() const { return methods_; }
  /// Calls keep the table that they began with.
  void replace_methods(std::shared_ptr<const MethodTable> methods) {
    methods_ = std::move(methods);
  }

  /// From now on every connection finishes what was started, and is then closed or given back. A
  /// further call changes the latter.
  void drain(WhenDrained what);
  bool draining() const { return draining_; }
  bool gives_back() const { return gives_back_; }
  /// Connections that are opened from now on are served without an end.
  void resume() { draining_ = gives_back_ = false; }
  /// The connections that there are end by themselves, with CloseReason::abandoned: none of them is
  /// given back.
  void abandon();
  /// The owner is told nothing any more.
  void forget_owner() { owner_ = {}; }
  /// Ends the connection without a call that its own limits would end first. A request of it that
  /// has arrived is still answered. False when there is none.
  bool close_idlest();

  std::size_t open_connections() const { return open_; }
  std::uint64_t requests() const { return requests_; }
  std::size_t active_calls() const { return active_calls_; }
  /// Connections that wait until the process holds less.
  std::size_t waiting_for_memory() const { return waiting_for_memory_; }

  /// Counts in this ledger too, as the worker's thread of this number, from now on and in no ledger
  /// before it; null: in none. What was passed with an entry of an earlier ledger keeps that.
  void count_in(std::shared_ptr<const ledger::Ledger> ledger, std::uint32_t thread);
  /// Counts requests of a client, or of a master's queue.
  void count_requests(std::size_t count) {
    requests_ += count;
    if (publishes_requests_) { publish_requests(count); }
  }

  // What follows is for sessions.

  static constexpr std::size_t kInputSize = 64 * 1024;
  /// To read into, and to write replies into. Nothing in them survives a wait.
  ReceiveBuffer& input() { return input_; }
  std::string& output() { return output_; }
  std::string& body() { return body_; }
  RequestParser& parser() { return parser_; }
  /// What calls use again.
  CallPools& pools() { return pools_; }
  Deadlines& deadlines() { return deadlines_; }
  HeldEnds& held_ends() { return held_ends_; }
  /// The places of all calls that run.
  Semaphore& places() { return places_; }
  /// With SessionLimits::synchronous: the sessions that wait to read a request.
  TurnLine& line() { return line_; }
  /// The same: whether this one may read a request now.
  bool is_turn_of(const Session& session) const {
    return places_.available() && line_.is_turn_of(session);
  }

  void call_begins() { publish_calls(++active_calls_); }
  void call_ends() { publish_calls(--active_calls_); }
  /// Counts an error that is replied; a code of 0 is none.
  void count_error(ErrorCode code) {
    if (code == ErrorCode{} || ledger_counters_ == nullptr) { return; }
    ledger_counters_->count_error(static_cast<int>(code));
  }
  /// Where calls are logged; null if they are not.
  const CallLog* call_log() const { return shared_.calls; }
  /// Returns the time at which a request is answered that takes none; the log alone needs it.
  TimePoint start_of_instant() const {
    return shared_.calls != nullptr ? Clock::now() : TimePoint();
  }
  /// Returns the time that count_call() and the log take, of a call that begins now.
  TimePoint start_of_call() const {
    const bool is_wanted = ledger_counters_ != nullptr || shared_.calls != nullptr;
    return is_wanted ? Clock::now() : TimePoint();
  }
  void count_call(TimePoint start) {
    if (ledger_counters_ == nullptr || start == TimePoint()) { return; }
    ledger_counters_->count_call(Clock::now() - start);
  }
  void memory_wait_begins() { ++waiting_for_memory_; }
  void memory_wait_ends() { --waiting_for_memory_; }
  void tell_failed(std::string_view what) const;

  /// Makes room for one more session. It counts as open from opened() on.
  void prepare_to_open();
  void opened() { ++open_; }
  /// A session of this age is new, and is to be deposited when it has been there for a while.
  void expect_deposit(DepositAge& age) {
    if (!owner_.deposited) { return; }
    age.begin();
    deposit_timer_.start();
  }
  /// How often abandon() was called. It does not know the sessions that have not begun yet: they
  /// find by this that they were meant too.
  std::uint32_t abandonments() const { return abandonments_; }
  /// Gives the session's number, which changes by Session::renumber.
  std::uint32_t add(Session& session);
  void remove(std::uint32_t number);
  void closed(std::uint64_t id, CloseReason why);
  void returned(Connection connection);
  /// Session::send_deferred() is called at the end of the turn.
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
  bool deposit_sessions();
  /// Sends what was answered in this turn, and has the next in line read.
  bool poll() override;

  Reactor& reactor_;
  std::shared_ptr<const MethodTable> methods_;
  SessionLimits limits_;
  Owner owner_;
  Shared shared_;
  bool publishes_requests_;  ///< to one of shared_ or a ledger
  ledger::Counters* ledger_counters_ = nullptr;
  /// The current one is the last; connections may have entries in the others.
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
  std::vector<Session*> sessions_;  ///< those that have begun
  DepositTimer deposit_timer_;
  std::size_t waiting_for_memory_ = 0;
  std::vector<Session*> deferring_;
  std::uint64_t requests_ = 0;
  std::size_t active_calls_ = 0;
  std::uint32_t abandonments_ = 0;
  bool draining_ = false;
  bool gives_back_ = false;
};

}  // namespace handoff
