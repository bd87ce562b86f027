// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

#include "async/mailbox.hpp"
#include "async/reactor.hpp"
#include "os/log.hpp"
#include "pass/connection.hpp"
#include "pass/ledger.hpp"
#include "rpc/method_table.hpp"
#include "rpc/reactor_thread.hpp"
#include "rpc/request_quota.hpp"
#include "rpc/server_context.hpp"
#include "worker/worker_options.hpp"

namespace handoff {

/// The reactors of a worker, which share its connections: the main thread's own, and those of its
/// other threads. All of this is for the main thread.
class ServingThreads {
 public:
  /// Called on the main thread.
  struct Owner {
    std::function<void(std::uint64_t id, CloseReason why)> closed;
    std::function<void(Connection)> returned;
    std::function<void(Connection)> deposited;  ///< see ServerContext::Owner
    std::function<void()> quota_used_up;
    std::function<void(std::string_view)> failed;  ///< see ServerContext::Owner
    Report report;
  };

  /// What goes wrong on a thread is thrown from the reactor's run.
  ServingThreads(Reactor& reactor, const MakeMethods& make_methods, const WorkerOptions& options,
                 const Owner& owner);
  ServingThreads(const ServingThreads&) = delete;
  ServingThreads& operator=(const ServingThreads&) = delete;

  /// Serves the connection on the thread that has the fewest.
  void serve(Connection connection);
  /// Has the call run on one thread after the other, and `done` called. Returns false for the main
  /// thread's turn: the caller runs it.
  bool run_elsewhere(Call& call, const std::function<void(Result)>& done);
  /// The main thread's.
  ServerContext& main() { return context_; }

  /// Every thread counts in this ledger from now on, or in none; see ServerContext::count_in.
  void count_in(const std::shared_ptr<const ledger::Ledger>& ledger);
  /// Finishes what was started on every connection, then closes it or gives it to `returned`.
  void drain(WhenDrained what);
  /// Serves again.
  void resume();
  /// What is left ends by itself; `closed` is told of it with CloseReason::abandoned.
  void abandon();
  /// Makes the methods again. When that is impossible, what there was goes on.
  void reload();
  /// Calls `then` as soon as each thread has a moment for it.
  void when_all_answer(const std::function<void()>& then);

  /// Connections.
  std::size_t open_connections() const;
  /// Requests since the start.
  std::uint64_t requests() const;
  /// Whether as many requests were made as WorkerOptions::max_requests allows.
  bool has_used_up_quota() const;

 private:
  Report report_;
  std::optional<Mailbox> mailbox_;  ///< of the other threads, if there are any
  MakeMethodTable make_method_table_;
  std::unique_ptr<RequestQuota> quota_;  ///< with WorkerOptions::max_requests
  ServerContext context_;
  std::size_t next_ = 0;  ///< the thread that runs the next call
  std::deque<ReactorThread> threads_;
};

}  // namespace handoff
