// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "async/mailbox.hpp"
#include "async/reactor.hpp"
#include "rpc/method_table.hpp"
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
    std::function<void(std::uint64_t)> closed;
    std::function<void(Connection)> returned;
    std::function<void()> had_most_requests;
    std::function<void(const std::string&)> reload_failed;
    std::function<void(const std::string&)> failed;  ///< see Service::on_failed
  };

  /// What goes wrong on the thread is thrown where the mailbox is received.
  ReactorThread(Mailbox& home, const SessionLimits& limits, MakeMethods make_methods,
                std::atomic<std::int64_t>* requests_left, Owner owner);
  ReactorThread(const ReactorThread&) = delete;
  ReactorThread& operator=(const ReactorThread&) = delete;
  /// Cuts off what is still served, and waits for the end of the thread.
  ~ReactorThread();

  void open(Connection connection);
  /// Runs the method there; `done` is called on the main thread.
  void run(Call call, std::function<void(Result)> done);
  /// Calls that on the thread.
  void post(std::function<void(Service&)> what);
  /// Calls `then` on the main thread as soon as the thread has a moment for it.
  void when_it_answers(std::function<void()> then);
  /// Makes the methods again.
  void reload();
  /// What is served now ends by itself: its ids are told to nobody, and 0 for them.
  void abandon();
  /// As Service::drain; has_drained() once the thread has heard of it.
  void drain(bool give_back);
  bool has_drained() const { return drains_ == 0; }

  /// Connections that it was given and has neither closed nor returned.
  std::size_t held() const { return held_; }
  /// Calls that it runs, or that wait there.
  std::size_t calls() const { return calls_.load(std::memory_order_relaxed); }
  /// Requests since the start.
  std::uint64_t requests() const { return requests_.load(std::memory_order_relaxed); }

 private:
  /// What is there while the thread runs.
  struct Inside;

  void run_thread(Inside& inside);
  static Task<void> run_call(ReactorThread& thread, Call call, std::function<void(Result)> done);

  Mailbox& home_;
  SessionLimits limits_;
  MakeMethods make_methods_;
  std::atomic<std::int64_t>* requests_left_;
  Owner owner_;
  std::size_t held_ = 0;
  std::size_t drains_ = 0;      ///< that it has not heard of
  std::size_t abandoning_ = 0;  ///< letters of before it may still be on their way
  std::atomic<std::uint64_t> requests_ = 0;
  std::atomic<std::size_t> calls_ = 0;
  std::unique_ptr<Inside> inside_;
  std::thread thread_;
};

}  // namespace handoff
