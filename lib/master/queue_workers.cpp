// SPDX-License-Identifier: MIT
#include "master/queue_workers.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace handoff {
namespace {

/// Returns whether a worker of this load may have replies.
bool is_busy(QueueWorker::Load load) {
  return load != QueueWorker::Load::idle && load != QueueWorker::Load::unused;
}

}  // namespace

QueueWorkers::~QueueWorkers() {
  while (!all_.empty()) { remove(all_.front()); }
}

void QueueWorkers::add(WorkerChannel& link, std::size_t memory_size) {
  Worker& worker = all_.emplace_back(link, memory_size);
  list(worker.listed_).push_back(worker);
  settle(worker);
}

void QueueWorkers::remove(Worker& worker) {
  list(worker.listed_).remove(worker);
  if (worker.ListNode<Unpublished>::is_listed()) { unpublished_.remove(worker); }
  all_.remove_if([&worker](const Worker& other) { return &other == &worker; });
}

QueueWorkers::Worker* QueueWorkers::find(const WorkerChannel& link) {
  const auto found = std::find_if(all_.begin(), all_.end(),
                                  [&](const Worker& worker) { return worker.is_of(link); });
  return found == all_.end() ? nullptr : &*found;
}

std::size_t QueueWorkers::prefetched() const {
  std::size_t sum = 0;
  for (const Worker& worker : all_) { sum += worker.prefetched(); }
  return sum;
}

QueueWorkers::Worker* QueueWorkers::choose(MethodTimes::Index method) {
  if (Worker* idle = list(Load::idle).first()) { return idle; }
  if (Worker* free = with_fewest()) { return free; }
  return best_to_prefetch(method);
}

QueueWorkers::Worker* QueueWorkers::with_fewest() {
  Worker* best = nullptr;
  for_some(Load::partly, [&best](Worker& worker) {
    if (best == nullptr || worker.given() < best->given()) { best = &worker; }
  });
  return best;
}

QueueWorkers::Worker* QueueWorkers::best_to_prefetch(MethodTimes::Index method) {
  Worker* best = nullptr;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  const auto compare = [&best, &least, method](Worker& worker) {
    if (!worker.may_prefetch(method)) { return; }
    const std::uint64_t work = worker.expected_work();
    if (work >= least) { return; }
    best = &worker;
    least = work;
  };
  for_some(Load::full, compare);
  for_some(Load::ahead, compare);
  return best;
}

void QueueWorkers::was_given(Worker& worker) {
  if (worker.has_unpublished() && !worker.ListNode<Unpublished>::is_listed()) {
    unpublished_.push_back(worker);
  }
  move_to_back(worker, worker.load());
}

void QueueWorkers::settle(Worker& worker) {
  const Load load = worker.load();
  if (load != worker.listed_) { move_to_back(worker, load); }
}

void QueueWorkers::move_to_back(Worker& worker, Load load) {
  const bool was_busy = is_busy(worker.listed_);
  list(worker.listed_).remove(worker);
  list(load).push_back(worker);
  worker.listed_ = load;
  if (!is_blocking_ || was_busy == is_busy(load)) { return; }
  if (was_busy) {
    worker.stop_blocking();
  } else {
    worker.prepare_to_block();
  }
}

void QueueWorkers::publish() {
  while (!unpublished_.empty()) { unpublished_.pop_front().publish(); }
}

void QueueWorkers::prepare_to_block() {
  is_blocking_ = true;
  for_each_busy([](Worker& worker) { worker.prepare_to_block(); });
}

void QueueWorkers::stop_blocking() {
  is_blocking_ = false;
  for_each_busy([](Worker& worker) { worker.stop_blocking(); });
}

}  // namespace handoff
