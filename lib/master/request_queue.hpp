// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <set>
#include <string>
#include <vector>

#include "async/linked_list.hpp"
#include "async/reactor.hpp"
#include "async/timer.hpp"
#include "master/queue_worker.hpp"
#include "master/worker_channel.hpp"
#include "os/status.hpp"
#include "rpc/pending_call.hpp"
#include "wire/json_reader.hpp"
#include "wire/limits.hpp"

namespace handoff {

/// The master's end of `--pass queue`: requests in the order in which they came, and the workers
/// that execute them. The oldest request goes to the next worker that is free.
///
/// While no worker is free, workers that take little time for a request get more than they run: so
/// they need not sleep between two of them. That counts as waiting, and is taken back when such a
/// worker answers nothing for a moment.
///
/// Who has what is known here alone, in memory of our own. A request's ticket is its place in a
/// table, and how often that place was used before: a reply that comes when its request was
/// answered otherwise has an old ticket.
class Queue final : public CallExecutor, private PollSource, private QueueWorker::Receiver {
 public:
  struct Options {
    std::size_t limit = limits::kMaxQueuedRequests;  ///< requests that wait or are executed
    std::size_t longest = 0;                         ///< bytes of the texts of a request or a reply
    std::set<std::string, std::less<>> idempotent;   ///< methods that may be executed twice
  };
  struct Counts {
    std::size_t waiting = 0;  ///< for a free worker
    std::size_t running = 0;  ///< with a worker
    std::uint64_t late = 0;   ///< replies that came after their request was answered otherwise
    std::uint64_t redispatched = 0;  ///< requests of workers that died
    std::uint64_t died = 0;          ///< requests that were lost with their worker
  };

  Queue(Reactor& reactor, Options options);
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue();

  /// Answers with busy at once when the queue is full. A worker has the same deadline as the call,
  /// and more to say about it: so the call times out a moment later.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  /// It is not answered any more; a worker that has begun it goes on in vain.
  void cancel(PendingCall& call) override;

  /// When a call with this deadline times out.
  static TimePoint times_out(TimePoint deadline);

  /// Bytes of each of the two memories that a worker gets.
  static std::size_t memory_size(const Options& options);

  /// The worker gets its memories, and then requests. Throws SystemError when there is no memory.
  void add(WorkerChannel& link);
  /// It gets no more requests; what it has begun, it answers.
  void retire(const WorkerChannel& link);
  /// It is gone. What it has not begun, and what may be executed twice, goes to others.
  void remove(const WorkerChannel& link);

  Counts counts() const;
  std::size_t workers() const { return workers_.size(); }
  static constexpr int kMostAttempts = 5;  ///< at an idempotent request whose workers die

 private:
  /// Gives the loop a turn at a time, and so the queue a poll().
  class Alarm final : public Timer {
   public:
    using Timer::Timer;
    /// Also if it is not set.
    bool is_later_than(TimePoint when) const { return due() > when; }

   private:
    void on_timer() override {}
  };
  /// Where a request is kept. It is in the list of those that wait, or of those that are free.
  struct Slot : ListNode<> {
    PendingCall* call = nullptr;
    QueueWorker* worker = nullptr;  ///< none while it waits
    std::uint64_t end = 0;          ///< of its record in the worker's ring
    std::uint32_t generation = 0;   ///< how often it was used
    MethodTimes::Index method = 0;
    std::uint64_t order = 0;  ///< requests that came earlier have less
    int attempts = 0;         ///< by workers that died
  };

  bool poll() override;
  void prepare_to_block() override;
  void stop_blocking() override;

  void assign();
  bool give(Slot& slot, QueueWorker& worker);
  QueueWorker* choose_worker(MethodTimes::Index method);
  std::list<QueueWorker>::iterator best_to_prefetch(MethodTimes::Index method);
  Status receive(QueueWorker& from, const QueueReply& reply) override;
  Status receive_not_begun(QueueWorker& from, Slot& slot);
  void take_back(QueueWorker& worker);
  void take_back_from_stalled();
  void lose(QueueWorker& worker);
  void wait_again(Slot& slot);
  void answer(Slot& slot, const ResultView& result);
  Slot* find(std::uint64_t ticket);
  void free(Slot& slot);
  void renew_ticket(Slot& slot);
  QueueWorker* find(const WorkerChannel& link);

  Reactor& reactor_;
  Options options_;
  std::vector<Slot> slots_;
  LinkedList<Slot> free_;
  LinkedList<Slot> waiting_;
  std::list<QueueWorker> workers_;
  std::uint64_t submitted_ = 0;
  Alarm patience_over_;  ///< while a worker has more than it runs
  std::string record_;
  JsonReader reader_;
  Counts counts_;
};

}  // namespace handoff
