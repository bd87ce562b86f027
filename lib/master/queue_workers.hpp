// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <list>

#include "async/linked_list.hpp"
#include "master/queue_worker.hpp"
#include "master/worker_channel.hpp"

namespace handoff {

/// The workers of a queue, in one list for each QueueWorker::Load. So the worker that gets the next
/// request is found without looking at all of them, and a worker that has no request costs nothing.
///
/// While the loop blocks, exactly the busy workers are armed, because they may have replies: a
/// worker that gets its first request meanwhile is armed at once, and one that has answered its
/// last request is disarmed. The wake-up of a worker that is armed but not polled would be lost.
class QueueWorkers {
  struct Unpublished;  ///< the tag of the list of workers with requests that are not published

 public:
  /// A worker, and the list that it is in.
  class Worker final : public QueueWorker, public ListNode<>, public ListNode<Unpublished> {
   public:
    using QueueWorker::QueueWorker;

   private:
    friend QueueWorkers;
    Load listed_ = Load::unused;
  };

  QueueWorkers() = default;
  QueueWorkers(const QueueWorkers&) = delete;
  QueueWorkers& operator=(const QueueWorkers&) = delete;
  ~QueueWorkers();

  /// Adds the worker of a channel, which must outlive it here. Throws SystemError if there is no
  /// memory for the two memories of `memory_size` bytes that are shared with it.
  void add(WorkerChannel& link, std::size_t memory_size);
  void remove(Worker& worker);
  /// Returns the worker of this channel; null if there is none.
  Worker* find(const WorkerChannel& link);
  std::size_t size() const { return all_.size(); }
  /// Returns the number of requests that the workers have beyond those that they run.
  std::size_t prefetched() const;

  /// Returns whether a worker runs fewer requests than it may.
  bool any_is_free() const { return !list(Load::idle).empty() || !list(Load::partly).empty(); }
  /// Returns whether a worker has more requests than it runs.
  bool any_is_ahead() const { return !list(Load::ahead).empty(); }

  /// Returns the free worker with the fewest requests. If no worker is free, returns the one that
  /// is expected to begin a request of this method first, if that is soon, and otherwise null.
  /// Among equals, it is the one that has waited longest. An idle worker is always found; of each
  /// list of busy workers only kMostLookedAt are compared, and others the next time.
  Worker* choose(MethodTimes::Index method);
  /// Must be called after QueueWorker::give(), whatever that has returned.
  void was_given(Worker& worker);
  /// Must be called when the load of the worker may have changed in any other way.
  void settle(Worker& worker);
  /// Publishes the requests of all workers.
  void publish();

  /// Calls `function` with each busy worker. It may settle that worker.
  template <typename Function>
  void for_each_busy(Function function) {
    for (const Load load : {Load::partly, Load::full, Load::ahead}) { for_each(load, function); }
  }
  /// Calls `function` with each worker that has more requests than it runs.
  template <typename Function>
  void for_each_ahead(Function function) {
    for_each(Load::ahead, function);
  }

  /// Arms the busy workers: each of them wakes the master when it has published something.
  void prepare_to_block();
  /// Disarms them.
  void stop_blocking();

  static constexpr std::size_t kMostLookedAt = 4;

 private:
  using Load = QueueWorker::Load;
  using List = LinkedList<Worker>;

  List& list(Load load) { return lists_[static_cast<std::size_t>(load)]; }
  const List& list(Load load) const { return lists_[static_cast<std::size_t>(load)]; }
  void move_to_back(Worker& worker, Load load);
  Worker* with_fewest();
  Worker* best_to_prefetch(MethodTimes::Index method);

  /// Each worker moves to the end of its list before the call, which may move it to another one.
  template <typename Function>
  void for_each(Load load, Function& function) {
    for_first(list(load).size(), load, function);
  }
  template <typename Function>
  void for_some(Load load, Function function) {
    for_first(std::min(list(load).size(), kMostLookedAt), load, function);
  }
  template <typename Function>
  void for_first(std::size_t count, Load load, Function& function) {
    List& workers = list(load);
    for (; count > 0 && !workers.empty(); --count) {
      Worker& worker = workers.pop_front();
      workers.push_back(worker);
      function(worker);
    }
  }

  std::list<Worker> all_;
  std::array<List, QueueWorker::kLoads> lists_;
  LinkedList<Worker, Unpublished> unpublished_;
  bool is_blocking_ = false;
};

}  // namespace handoff
