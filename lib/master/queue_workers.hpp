// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <list>

#include "async/linked_list.hpp"
#include "master/queue_worker.hpp"
#include "master/worker_channel.hpp"

namespace handoff {

/// The workers of a queue, in a list for each QueueWorker::Load: which of them gets the next
/// request is found without a look at all of them, and workers that have nothing cost nothing.
///
/// Workers that have something are armed while the loop blocks, the others are not: one that gets
/// its first request meanwhile is armed at once, and one that has answered its last is disarmed.
class QueueWorkers {
  struct Unpublished;  ///< the list of those that were given something that is not published

 public:
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

  /// As QueueWorker's constructor.
  void add(WorkerChannel& link, std::size_t memory_size);
  void remove(Worker& worker);
  Worker* find(const WorkerChannel& link);
  std::size_t size() const { return all_.size(); }
  /// The requests that the workers have beyond those that they run.
  std::size_t prefetched() const;

  bool any_is_free() const { return !list(Load::idle).empty() || !list(Load::partly).empty(); }
  bool any_is_ahead() const { return !list(Load::ahead).empty(); }

  /// Returns the free one with the fewest requests, or if there is none that which is expected to
  /// begin a request of this method first, if that is soon; null when there is none. Of those that
  /// are equal, the one that has waited longest. Among those that have something it looks at
  /// kMostLookedAt of each list, the next time at others.
  Worker* choose(MethodTimes::Index method);
  /// The worker was given a request, or has found no room for it.
  void was_given(Worker& worker);
  /// What the worker has or may get has changed otherwise.
  void settle(Worker& worker);
  /// Publishes all that was given.
  void publish();

  /// Calls `function` with each that has something; it may settle that one.
  template <typename Function>
  void for_each_busy(Function function) {
    for (const Load load : {Load::partly, Load::full, Load::ahead}) { for_each(load, function); }
  }
  /// The same with each that has more than it runs.
  template <typename Function>
  void for_each_ahead(Function function) {
    for_each(Load::ahead, function);
  }

  void prepare_to_block();
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

  /// Goes through a list that changes: each worker moves to its end before it is looked at.
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
