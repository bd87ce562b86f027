// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include <handoff/async/mailbox.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/rpc/method_table.hpp>

#include "os/log.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"
#include "rpc/reactor_thread.hpp"
#include "rpc/request_quota.hpp"
#include "rpc/server_context.hpp"
#include "worker/method_slots.hpp"
#include "worker/worker_options.hpp"

namespace handoff {

/// The reactors of a worker, which share its connections: that of the main thread and those of its
/// other threads. Only the main thread uses this object.
class ServingThreads {
 public:
  /// The functions to which it reports. All are called on the main thread.
  struct Owner {
    /// Called when a connection has ended.
    std::function<void(std::uint64_t id, CloseReason why)> closed;
    /// Called with a connection that was drained with WhenDrained::give_back.
    std::function<void(Connection)> returned;
    std::function<void(Connection)> deposited;  ///< see ServerContext::Owner
    /// Called when WorkerOptions::max_requests requests were made.
    std::function<void()> quota_used_up;
    std::function<void(std::string_view)> failed;  ///< see ServerContext::Owner
    Report report;
  };

  /// Makes the methods of each reactor with `make_methods`, and starts the other threads. An
  /// exception on a thread is thrown from the main reactor's run. The reactor must outlive this
  /// object.
  ServingThreads(Reactor& reactor, const MakeMethods& make_methods, const WorkerOptions& options,
                 const Owner& owner);
  ServingThreads(const ServingThreads&) = delete;
  ServingThreads& operator=(const ServingThreads&) = delete;

  /// Serves the connection on the thread that has the fewest connections.
  void serve(Connection connection);
  /// Runs calls on one thread after the other: moves `call` away, and calls `done` on the main
  /// thread. Returns false if it is the main thread's turn; the caller then runs the call.
  bool run_elsewhere(Call& call, const std::function<void(Result)>& done);
  /// Returns the context of the main thread.
  ServerContext& main() { return context_; }

  /// Makes every thread count in this ledger from now on, or in none if it is null; see
  /// ServerContext::count_in.
  void count_in(const std::shared_ptr<const ledger::Ledger>& ledger);
  /// See ServerContext::be_lame_duck().
  void be_lame_duck();
  /// Finishes what was started on every connection, and then closes it or gives it to `returned`.
  void drain(WhenDrained what);
  /// Ends the drain: the threads serve again.
  void resume();
  /// Lets go of the connections that are left, which end by themselves. `closed` is called for each
  /// with CloseReason::abandoned.
  void abandon();
  /// Makes the methods again. If that fails, the old ones stay, and the failure is reported.
  void reload();
  /// Calls `then` on the main thread as soon as each thread has answered, which a thread that hangs
  /// does not.
  void when_all_answer(const std::function<void()>& then);

  /// Returns the number of open connections of all threads.
  std::size_t open_connections() const;
  /// Returns the number of requests since the start, of all threads.
  std::uint64_t requests() const;
  /// Returns whether as many requests were made as WorkerOptions::max_requests allows.
  bool has_used_up_quota() const;

 private:
  Report report_;
  std::optional<Mailbox> mailbox_;  ///< through it the other threads report, if there are any
  MakeMethodTable make_method_table_;
  MethodSlots method_slots_;
  std::unique_ptr<RequestQuota> quota_;  ///< with WorkerOptions::max_requests
  ServerContext context_;
  std::size_t next_ = 0;  ///< the index of the thread that runs the next call
  std::deque<ReactorThread> threads_;
};

}  // namespace handoff
