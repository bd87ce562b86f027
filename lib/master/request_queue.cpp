// SPDX-License-Identifier: MIT
#include "master/request_queue.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "os/sealed_memory.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"

namespace handoff {
namespace {

/// The worker has the deadline of the call, and the queue waits so much longer for what it says.
constexpr auto kGrace = std::chrono::milliseconds(100);

/// How long a worker may answer nothing, while another one is free, before what it has not begun is
/// taken back. What is prefetched is expected to take less.
constexpr Duration kPatience = 2 * QueueWorker::kMostPrefetchedWork;
/// The same while none is free: so a worker that the kernel does not run for a moment keeps it.
constexpr Duration kPatienceWhileAllAreBusy = std::chrono::milliseconds(5);

constexpr std::uint64_t ticket_of(std::size_t index, std::uint32_t generation) {
  return (std::uint64_t{generation} << 32U) | index;
}

}  // namespace

Queue::Queue(Reactor& reactor, Options options)
    : reactor_(reactor),
      options_(std::move(options)),
      slots_(options_.limit),
      patience_over_(reactor) {
  for (Slot& slot : slots_) { free_.push_back(slot); }
  // What no worker can be given is better said at the start.
  (void)make_memory_to_write("handoff-requests", 1);
  reactor_.add(*this);
}

Queue::~Queue() {
  reactor_.remove(*this);
  while (!free_.empty()) { free_.pop_front(); }
  while (!waiting_.empty()) { waiting_.pop_front(); }
}

TimePoint Queue::begin(PendingCall& call) {
  if (free_.empty()) {
    call.finish(ResultView::error(ErrorCode::busy, "busy: the queue is full"));
    return kNever;
  }
  Slot& slot = free_.pop_front();
  slot.call = &call;
  slot.method = MethodTimes::index_of(call.view().method);
  slot.order = ++submitted_;
  renew_ticket(slot);
  waiting_.push_back(slot);
  return times_out(call.view().deadline);
}

TimePoint Queue::times_out(TimePoint deadline) {
  return deadline > kNever - kGrace ? kNever : deadline + Duration(kGrace);
}

void Queue::time_out(PendingCall& call) {
  cancel(call);
  call.finish(ResultView::error(ErrorCode::timed_out, "the call was not answered in time"));
}

void Queue::cancel(PendingCall& call) {
  Slot* slot = find(call.ticket());
  if (slot == nullptr) { return; }
  QueueWorker* worker = slot->worker;
  const std::uint64_t end = slot->end;
  if (worker == nullptr) { waiting_.remove(*slot); }
  free(*slot);
  if (worker != nullptr && !worker->says_begun(end)) { take_back(*worker); }
}

std::size_t Queue::memory_size(const Options& options) {
  return RingEnd::memory_size(options.longest + kQueueRecordSize);
}

void Queue::add(WorkerChannel& link) {
  workers_.emplace_back(link, memory_size(options_));
}

void Queue::retire(const WorkerChannel& link) {
  QueueWorker* worker = find(link);
  if (worker == nullptr) { return; }
  worker->retire();
  // What a worker has not begun whose channel has ended is told apart in remove().
  if (link.open()) { take_back(*worker); }
}

void Queue::remove(const WorkerChannel& link) {
  QueueWorker* worker = find(link);
  if (worker == nullptr) { return; }
  worker->retire();
  while (worker->read_replies(*this, record_, reactor_.now())) {}
  lose(*worker);
  workers_.remove_if([worker](const QueueWorker& other) { return &other == worker; });
}

Queue::Counts Queue::counts() const {
  Counts counts = counts_;
  std::size_t prefetched = 0;
  for (const QueueWorker& worker : workers_) { prefetched += worker.prefetched(); }
  const std::size_t given = slots_.size() - free_.size() - waiting_.size();
  counts.running = given - std::min(given, prefetched);
  counts.waiting = slots_.size() - free_.size() - counts.running;
  return counts;
}

/// In each turn of the loop, so that what came together is told with one wake-up.
bool Queue::poll() {
  bool any = false;
  for (QueueWorker& worker : workers_) {
    any = worker.read_replies(*this, record_, reactor_.now()) || any;
  }
  assign();
  take_back_from_stalled();
  for (QueueWorker& worker : workers_) { worker.publish(); }
  return any;
}

void Queue::prepare_to_block() {
  for (QueueWorker& worker : workers_) { worker.prepare_to_block(); }
}

void Queue::stop_blocking() {
  for (QueueWorker& worker : workers_) { worker.stop_blocking(); }
}

void Queue::assign() {
  for (QueueWorker& worker : workers_) { worker.look_for_room(); }
  while (!waiting_.empty()) {
    Slot& next = waiting_.front();
    QueueWorker* worker = choose_worker(next.method);
    if (worker == nullptr) { return; }
    if (give(next, *worker)) { waiting_.remove(next); }
  }
}

/// The free one with the fewest requests, or if there is none that which is expected to begin the
/// request first, if that is soon. Of those that are equal, the one that has waited longest. What
/// can't be given to any waits, and so does all that came later: else it might wait for ever.
QueueWorker* Queue::choose_worker(MethodTimes::Index method) {
  auto best = workers_.end();
  for (auto worker = workers_.begin(); worker != workers_.end(); ++worker) {
    if (!worker->is_free()) { continue; }
    if (best == workers_.end() || worker->given() < best->given()) { best = worker; }
  }
  if (best == workers_.end()) { best = best_to_prefetch(method); }
  if (best == workers_.end()) { return nullptr; }
  workers_.splice(workers_.end(), workers_, best);
  return &*best;
}

std::list<QueueWorker>::iterator Queue::best_to_prefetch(MethodTimes::Index method) {
  auto best = workers_.end();
  for (auto worker = workers_.begin(); worker != workers_.end(); ++worker) {
    if (!worker->may_prefetch(method)) { continue; }
    if (best == workers_.end() || worker->expected_work() < best->expected_work()) {
      best = worker;
    }
  }
  return best;
}

/// False when the worker's ring has no room for it now.
bool Queue::give(Slot& slot, QueueWorker& worker) {
  const CallView& call = slot.call->view();
  const std::int64_t deadline = call.deadline.time_since_epoch() / std::chrono::nanoseconds(1);
  if (!worker.give({slot.call->ticket(), deadline, call.method, call.params, call.id, call.peer},
                   slot.method, reactor_.now())) {
    return false;
  }
  slot.worker = &worker;
  slot.end = worker.written();
  return true;
}

Status Queue::receive(QueueWorker& from, const QueueReply& reply) {
  Slot* slot = find(reply.ticket);
  if (slot == nullptr) {
    if (!reply.is_not_begun()) { ++counts_.late; }
    return Status::ok();
  }
  if (slot->worker != &from) {
    return Status::failure("it answered a request that it was not given");
  }
  if (reply.is_not_begun()) { return receive_not_begun(from, *slot); }
  from.learn(slot->method, reply);
  const bool has_json = reply.code == 0 || !reply.json.empty();
  if (has_json && reader_.read_whole(reply.json, 1) != JsonProblem::none) {
    return Status::failure("it sent a reply that is no JSON");
  }
  answer(*slot, ResultView::error(static_cast<ErrorCode>(reply.code), reply.message, reply.json));
  return Status::ok();
}

/// The worker has looked at the revocation only after it said that it begins this.
Status Queue::receive_not_begun(QueueWorker& from, Slot& slot) {
  if (!from.was_revoked(slot.end)) {
    return Status::failure("it gave back a request that was not taken back");
  }
  wait_again(slot);
  return Status::ok();
}

void Queue::take_back(QueueWorker& worker) {
  const auto begun_until = worker.revoke();
  if (!begun_until) { return; }
  for (Slot& slot : slots_) {
    if (slot.worker == &worker && slot.end > *begun_until) { wait_again(slot); }
  }
}

/// No request waits for a worker that is slow while another is free; nor for long while others take
/// what came later.
void Queue::take_back_from_stalled() {
  const auto is_free = [](const QueueWorker& worker) { return worker.is_free(); };
  const auto has_unbegun = [](const QueueWorker& worker) { return worker.has_unbegun(); };
  if (workers_.size() < 2) {
    return;  // no other could take it
  }
  if (std::none_of(workers_.begin(), workers_.end(), has_unbegun)) { return; }
  const bool any_is_free = std::any_of(workers_.begin(), workers_.end(), is_free);
  const Duration patience = any_is_free ? kPatience : kPatienceWhileAllAreBusy;
  const TimePoint now = reactor_.now();
  for (QueueWorker& worker : workers_) {
    if (worker.has_unbegun() && worker.progressed() <= now - patience) { take_back(worker); }
  }
  if (any_is_free) { assign(); }
  if (patience_over_.is_later_than(now + patience)) { patience_over_.set(now + patience); }
}

void Queue::lose(QueueWorker& worker) {
  const std::uint64_t begun_until = worker.abandon();
  for (Slot& slot : slots_) {
    if (slot.worker != &worker) { continue; }
    const bool begun = slot.end <= begun_until;
    const bool may_again =
        options_.idempotent.contains(slot.call->view().method) && slot.attempts + 1 < kMostAttempts;
    if (!begun || may_again) {
      slot.attempts += begun ? 1 : 0;
      wait_again(slot);
      ++counts_.redispatched;
      continue;
    }
    ++counts_.died;
    answer(slot, ResultView::error(ErrorCode::worker_died,
                                   worker.says_begun(slot.end)
                                       ? "the worker died while it executed this"
                                       : "the worker has left, and may still execute this"));
  }
}

/// It waits in its old place among the others, under another ticket.
void Queue::wait_again(Slot& slot) {
  slot.worker = nullptr;
  renew_ticket(slot);
  Slot* next = waiting_.first();
  while (next != nullptr && next->order < slot.order) { next = waiting_.after(*next); }
  if (next == nullptr) {
    waiting_.push_back(slot);
  } else {
    waiting_.insert_before(*next, slot);
  }
}

void Queue::answer(Slot& slot, const ResultView& result) {
  PendingCall& call = *slot.call;
  free(slot);
  call.finish(result);
}

/// Of a ticket that is still good.
Queue::Slot* Queue::find(std::uint64_t ticket) {
  const std::uint64_t index = ticket & std::numeric_limits<std::uint32_t>::max();
  if (index >= slots_.size()) { return nullptr; }
  Slot& slot = slots_[index];
  return slot.call != nullptr && slot.generation == ticket >> 32U ? &slot : nullptr;
}

/// The slot waits for nothing any more. A worker that still has its ticket has an old one.
void Queue::free(Slot& slot) {
  slot.worker = nullptr;
  slot.call->set_ticket(0);
  slot.call = nullptr;
  slot.attempts = 0;
  free_.push_front(slot);
}

/// Replies to the earlier tickets of the slot are late.
void Queue::renew_ticket(Slot& slot) {
  const auto index = static_cast<std::size_t>(&slot - slots_.data());
  slot.call->set_ticket(ticket_of(index, ++slot.generation));
}

QueueWorker* Queue::find(const WorkerChannel& link) {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&](const QueueWorker& worker) { return worker.is_of(link); });
  return found == workers_.end() ? nullptr : &*found;
}

}  // namespace handoff
