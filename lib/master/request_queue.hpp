// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>

#include <handoff/async/reactor.hpp>
#include <handoff/async/timer.hpp>
#include <handoff/wire/limits.hpp>

#include "async/linked_list.hpp"
#include "master/queue_slots.hpp"
#include "master/queue_worker.hpp"
#include "master/queue_workers.hpp"
#include "master/worker_channel.hpp"
#include "os/status.hpp"
#include "rpc/pending_call.hpp"
#include "wire/json_reader.hpp"

namespace handoff {

/// The master's end of `--pass queue`: the requests in the order in which they arrived, and the
/// workers that execute them. The oldest request goes to the next worker that is free.
///
/// While no worker is free, workers whose requests take little time get more than they run, so that
/// they need not sleep between two of them. Such requests still count as waiting, and are taken
/// back if the worker answers nothing for a moment.
///
/// Only this object, in memory of the master's own, records which worker has which request. A reply
/// that arrives after its request was answered in another way has an old ticket.
///
/// A turn of the loop looks only at the workers that have requests, and the time for one request
/// does not grow with the number of workers.
class Queue final : public CallExecutor, private PollSource, private QueueWorker::Receiver {
 public:
  struct Options {
    std::size_t limit = limits::kMaxQueuedRequests;  ///< requests that wait or are executed
    std::size_t longest = 0;  ///< the most bytes of the texts of a request or a reply
    std::set<std::string, std::less<>> idempotent;  ///< methods that may be executed twice
  };
  struct Counts {
    std::size_t waiting = 0;  ///< requests that wait for a free worker
    std::size_t running = 0;  ///< requests that a worker executes
    /// Replies that arrived after their request was answered in another way.
    std::uint64_t late = 0;
    std::uint64_t redispatched = 0;  ///< requests of workers that died
    std::uint64_t died = 0;          ///< requests that were lost with their worker
  };

  /// Throws what check_memory() throws: what no worker can be given is better said at the start.
  Queue(Reactor& reactor, Options options);
  /// Throws SystemError if this system makes no memory that can be shared with workers.
  static void check_memory();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  /// Queues the call, or answers it with `busy` at once if the queue is full. The worker has the
  /// same deadline as the call, and knows better why the call has failed, so the call times out a
  /// moment later here.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  /// Forgets the call. A worker that has begun it goes on, but its reply is dropped.
  void cancel(PendingCall& call) override;

  /// Returns when a call with this deadline times out.
  static TimePoint times_out(TimePoint deadline);

  /// Returns the number of bytes of each of the two memories that a worker gets.
  static std::size_t memory_size(const Options& options);

  /// Passes its memories to the worker, and then requests. Throws SystemError if there is no
  /// memory.
  void add(WorkerChannel& link);
  /// Gives the worker no more requests. It still answers those that it has begun.
  void retire(const WorkerChannel& link);
  /// Forgets a worker that is gone. The requests that it has not begun, and those that may be
  /// executed twice, go to others; the rest are answered with `worker died`.
  void remove(const WorkerChannel& link);

  Counts counts() const;
  std::size_t workers() const { return workers_.size(); }
  static constexpr int kMostAttempts = 5;  ///< attempts at an idempotent request whose workers die

 private:
  /// Wakes the loop at a set time, so that it calls poll().
  class Alarm final : public Timer {
   public:
    using Timer::Timer;
    /// Returns whether it is due later than `when`, or is not set.
    bool is_later_than(TimePoint when) const { return due() > when; }

   private:
    void on_timer() override {}
  };
  using Worker = QueueWorkers::Worker;

  bool poll() override;
  void prepare_to_block() override;
  void stop_blocking() override;

  void assign();
  bool give(QueueSlot& slot, Worker& worker);
  Status receive(QueueWorker& from, const QueueReply& reply) override;
  Status receive_not_begun(QueueWorker& from, QueueSlot& slot);
  void take_back(QueueWorker& worker);
  void take_back_from_stalled();
  void lose(QueueWorker& worker);
  void wait_again(QueueSlot& slot);
  void answer(QueueSlot& slot, const ResultView& result);

  Reactor& reactor_;
  Options options_;
  QueueSlots slots_;
  LinkedList<QueueSlot> waiting_;
  QueueWorkers workers_;
  std::uint64_t submitted_ = 0;
  Alarm patience_over_;  ///< set while a worker has more than it runs
  std::string record_;
  JsonReader reader_;
  Counts counts_;
};

}  // namespace handoff
