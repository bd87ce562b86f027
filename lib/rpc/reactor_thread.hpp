// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <handoff/async/mailbox.hpp>
#include <handoff/async/reactor.hpp>
#include <handoff/rpc/call.hpp>
#include <handoff/rpc/method_table.hpp>

#include "rpc/server_context.hpp"

namespace handoff {

/// Makes a table of the methods as they are at the time of the call. Throws if that is impossible.
using MakeMethodTable = std::function<std::shared_ptr<const MethodTable>()>;

/// Called once on the thread of each reactor. Returns the function that makes the method tables for
/// this reactor, which is called at the start and again at each reload. It is used and destroyed on
/// this thread only, and so are the tables.
using MakeMethods = std::function<MakeMethodTable(Reactor&)>;

/// A thread with a reactor of its own, which serves the connections that the main thread gives it.
/// All functions are for the main thread; only the destructor blocks.
class ReactorThread {
 public:
  /// The functions that report to the owner, on the main thread, through its mailbox. Those whose
  /// name is one of ServerContext::Owner are called as described there. `deposited` may be null;
  /// the others must be set.
  struct Owner {
    std::function<void(std::uint64_t, CloseReason)> closed{};
    std::function<void(Connection)> returned{};
    std::function<void(Connection)> deposited{};
    std::function<void()> quota_used_up{};
    /// Called with the reason when reload() has failed.
    std::function<void(const std::string&)> reload_failed{};
    std::function<void(const std::string&)> failed{};
  };

  /// Starts the thread, which adds its own counters to `shared`. `home` is the mailbox of the main
  /// thread; it and what `shared` points to must outlive this object. An exception that ends the
  /// thread leaves Reactor::run() of the main thread. Throws std::system_error if there can be no
  /// more threads, and SystemError.
  ReactorThread(Mailbox& home, const SessionLimits& limits, MakeMethods make_methods,
                ServerContext::Shared shared, Owner owner);
  ReactorThread(const ReactorThread&) = delete;
  ReactorThread& operator=(const ReactorThread&) = delete;
  /// Cuts off the connections that are still served, and blocks until the thread has ended.
  ~ReactorThread();

  /// Gives the thread a connection to serve. Either `closed` or `returned` is called for it.
  void open(Connection connection);
  /// Runs a method on the thread; `done` is called with its result on the main thread.
  void run(Call call, std::function<void(Result)> done);
  /// Calls `what` on the thread.
  void post(std::function<void(ServerContext&)> what);
  /// Calls `then` on the main thread after the thread has had a moment to answer. A thread that
  /// hangs never does.
  void when_it_answers(std::function<void()> then);
  /// Makes the thread's method table again. If that throws, the old one stays, and `reload_failed`
  /// is called with the reason.
  void reload();
  /// Loses interest in the connections that are served now: each ends by itself, and is reported
  /// with CloseReason::abandoned.
  void abandon();
  /// Calls ServerContext::drain() on the thread.
  void drain(WhenDrained what);
  /// Returns whether the thread has carried out every drain() so far.
  bool has_drained() const { return drains_ == 0; }

  /// Returns the number of connections that the thread was given and has neither closed nor
  /// returned.
  std::size_t held() const { return held_; }
  /// Returns the number of calls that run or wait on the thread.
  std::size_t active_calls() const {
    return counters_.active_calls.load(std::memory_order_relaxed);
  }
  /// Returns the number of requests since the start.
  std::uint64_t requests() const { return counters_.requests.load(std::memory_order_relaxed); }

 private:
  /// The objects that exist while the thread runs.
  struct Inside;

  void run_thread(Inside& inside);
  ServerContext::Owner report_home();
  static Task<void> run_call(ReactorThread& thread, Call call, std::function<void(Result)> done);

  Mailbox& home_;
  SessionLimits limits_;
  MakeMethods make_methods_;
  ServerContext::Shared shared_;
  Owner owner_;
  std::size_t held_ = 0;
  std::size_t drains_ = 0;      ///< calls of drain() that the thread has not yet carried out
  std::size_t abandoning_ = 0;  ///< calls of abandon() before which the thread may have sent
                                ///< reports that have not arrived
  ServerCounters counters_;
  std::unique_ptr<Inside> inside_;
  std::thread thread_;
};

}  // namespace handoff
