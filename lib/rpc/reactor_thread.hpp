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

/// Makes a table of methods, each time as they are now. Throws what makes that impossible.
using MakeMethodTable = std::function<std::shared_ptr<const MethodTable>()>;

/// Gives what makes the methods of a reactor, on its thread. They belong to it, and to no other.
using MakeMethods = std::function<MakeMethodTable(Reactor&)>;

/// A thread with a reactor, which serves the connections that the main thread gives it. All of this
/// is for the main thread.
class ReactorThread {
 public:
  /// Called on the main thread, by way of its mailbox.
  struct Owner {
    std::function<void(std::uint64_t, CloseReason)> closed{};
    std::function<void(Connection)> returned{};
    std::function<void(Connection)> deposited{};  ///< see ServerContext::Owner
    std::function<void()> quota_used_up{};
    std::function<void(const std::string&)> reload_failed{};
    std::function<void(const std::string&)> failed{};  ///< see ServerContext::Owner
  };

  /// The thread adds its own counters to `shared`. What goes wrong on it is thrown where the
  /// mailbox is received.
  ReactorThread(Mailbox& home, const SessionLimits& limits, MakeMethods make_methods,
                ServerContext::Shared shared, Owner owner);
  ReactorThread(const ReactorThread&) = delete;
  ReactorThread& operator=(const ReactorThread&) = delete;
  /// Cuts off what is still served, and waits for the end of the thread.
  ~ReactorThread();

  void open(Connection connection);
  /// Runs the method there; `done` is called on the main thread.
  void run(Call call, std::function<void(Result)> done);
  /// Calls that on the thread.
  void post(std::function<void(ServerContext&)> what);
  /// Calls `then` on the main thread as soon as the thread has a moment for it.
  void when_it_answers(std::function<void()> then);
  /// Makes the methods again.
  void reload();
  /// What is served now ends by itself, and is reported with CloseReason::abandoned.
  void abandon();
  /// As ServerContext::drain; has_drained() once the thread has heard of it.
  void drain(WhenDrained what);
  bool has_drained() const { return drains_ == 0; }

  /// Connections that it was given and has neither closed nor returned.
  std::size_t held() const { return held_; }
  /// Calls that it runs, or that wait there.
  std::size_t active_calls() const {
    return counters_.active_calls.load(std::memory_order_relaxed);
  }
  /// Requests since the start.
  std::uint64_t requests() const { return counters_.requests.load(std::memory_order_relaxed); }

 private:
  /// What is there while the thread runs.
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
  std::size_t drains_ = 0;      ///< that it has not heard of
  std::size_t abandoning_ = 0;  ///< letters of before it may still be on their way
  ServerCounters counters_;
  std::unique_ptr<Inside> inside_;
  std::thread thread_;
};

}  // namespace handoff
