// SPDX-License-Identifier: MIT
#include "master/request_queue.hpp"

#include <algorithm>
#include <utility>

#include "os/sealed_memory.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"

namespace handoff {
namespace {

/// How much longer than the worker, which has the deadline of the call, the queue waits for an
/// answer.
constexpr auto kGrace = std::chrono::milliseconds(100);

/// How long a worker may answer nothing while another one is free, before the requests that it has
/// not begun are taken back. Requests that are prefetched are expected to take less.
constexpr Duration kPatience = 2 * QueueWorker::kMostPrefetchedWork;
/// This limit applies while no worker is free. It is longer, so that a worker which the kernel does
/// not run for a moment keeps its requests.
constexpr Duration kPatienceWhileAllAreBusy = std::chrono::milliseconds(5);

}  // namespace

Queue::Queue(Reactor& reactor, Options options)
    : reactor_(reactor),
      options_(std::move(options)),
      slots_(options_.limit),
      patience_over_(reactor) {
  check_memory();
  reactor_.add(*this);
}

Queue::~Queue() {
  reactor_.remove(*this);
  while (!waiting_.empty()) { waiting_.pop_front(); }
}

void Queue::check_memory() {
  (void)make_memory_to_write("handoff-requests", 1);
}

TimePoint Queue::begin(PendingCall& call) {
  if (slots_.are_full()) {
    call.finish(ResultView::error(ErrorCode::busy, "busy: the queue is full"));
    return kNever;
  }
  QueueSlot& slot = slots_.take(call);
  slot.method = MethodTimes::index_of(call.view().method);
  slot.order = ++submitted_;
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
  QueueSlot* slot = slots_.find(call.ticket());
  if (slot == nullptr) { return; }
  QueueWorker* worker = slot->worker;
  if (worker == nullptr) {
    waiting_.remove(*slot);
    return slots_.free(*slot);
  }
  const bool may_be_taken_back = !worker->says_begun(slot->end);
  worker->let_go(*slot);
  slots_.free(*slot);
  if (may_be_taken_back) { take_back(*worker); }
}

std::size_t Queue::memory_size(const Options& options) {
  return RingEnd::memory_size(options.longest + kQueueRecordSize);
}

void Queue::add(WorkerChannel& link) {
  workers_.add(link, memory_size(options_));
}

void Queue::retire(const WorkerChannel& link) {
  Worker* worker = workers_.find(link);
  if (worker == nullptr) { return; }
  worker->retire();
  workers_.settle(*worker);
  // If the channel has ended, remove() finds out which requests the worker has not begun.
  if (link.open()) { take_back(*worker); }
}

void Queue::remove(const WorkerChannel& link) {
  Worker* worker = workers_.find(link);
  if (worker == nullptr) { return; }
  worker->retire();
  while (worker->read_replies(*this, record_, reactor_.now())) {}
  lose(*worker);
  workers_.remove(*worker);
}

Queue::Counts Queue::counts() const {
  Counts counts = counts_;
  const std::size_t given = slots_.used() - waiting_.size();
  counts.running = given - std::min(given, workers_.prefetched());
  counts.waiting = slots_.used() - counts.running;
  return counts;
}

/// Publishes once in a turn of the loop, so that requests that arrived together cost one wake-up.
bool Queue::poll() {
  bool any = false;
  workers_.for_each_busy([this, &any](Worker& worker) {
    any = worker.read_replies(*this, record_, reactor_.now()) || any;
    worker.look_for_room();
    workers_.settle(worker);
  });
  assign();
  take_back_from_stalled();
  workers_.publish();
  return any;
}

void Queue::prepare_to_block() {
  workers_.prepare_to_block();
}

void Queue::stop_blocking() {
  workers_.stop_blocking();
}

/// Gives waiting requests to workers. If no worker can be given the oldest request, all later ones
/// wait too; otherwise it might wait for ever.
void Queue::assign() {
  while (!waiting_.empty()) {
    Worker* worker = workers_.choose(waiting_.front().method);
    if (worker == nullptr) { return; }
    QueueSlot& next = waiting_.pop_front();
    if (!give(next, *worker)) { waiting_.push_front(next); }
  }
}

/// Returns false if the worker's ring has no room for the request now.
bool Queue::give(QueueSlot& slot, Worker& worker) {
  const bool is_given = worker.give(slot, reactor_.now());
  workers_.was_given(worker);
  return is_given;
}

Status Queue::receive(QueueWorker& from, const QueueReply& reply) {
  QueueSlot* slot = slots_.find(reply.ticket);
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

/// Puts a request back that the worker has not begun, although it had said that it begins it: it
/// saw the revocation only after that.
Status Queue::receive_not_begun(QueueWorker& from, QueueSlot& slot) {
  if (!from.was_revoked(slot.end)) {
    return Status::failure("it gave back a request that was not taken back");
  }
  wait_again(slot);
  return Status::ok();
}

void Queue::take_back(QueueWorker& worker) {
  const auto begun_until = worker.revoke();
  if (!begun_until) { return; }
  while (QueueSlot* last = worker.last()) {
    if (last->end <= *begun_until) { return; }
    wait_again(*last);
  }
}

/// Takes back requests from slow workers: no request waits for a slow worker while another one is
/// free, nor for long while others execute later requests.
void Queue::take_back_from_stalled() {
  // If there is one worker, no other could take its requests.
  if (workers_.size() < 2 || !workers_.any_is_ahead()) { return; }
  const bool any_is_free = workers_.any_is_free();
  const Duration patience = any_is_free ? kPatience : kPatienceWhileAllAreBusy;
  const TimePoint now = reactor_.now();
  bool any_has_unbegun = false;
  workers_.for_each_ahead([&](Worker& worker) {
    if (!worker.has_unbegun()) { return; }
    any_has_unbegun = true;
    if (worker.progressed() <= now - patience) { take_back(worker); }
  });
  if (!any_has_unbegun) { return; }
  if (any_is_free) { assign(); }
  if (patience_over_.is_later_than(now + patience)) { patience_over_.set(now + patience); }
}

void Queue::lose(QueueWorker& worker) {
  const std::uint64_t begun_until = worker.abandon();
  while (QueueSlot* last = worker.last()) {
    const bool begun = last->end <= begun_until;
    const bool may_again = options_.idempotent.contains(last->call->view().method) &&
                           last->attempts + 1 < kMostAttempts;
    if (begun && !may_again) {
      ++counts_.died;
      answer(*last, ResultView::error(ErrorCode::worker_died,
                                      worker.says_begun(last->end)
                                          ? "the worker died while it executed this"
                                          : "the worker has left, and may still execute this"));
      continue;
    }
    last->attempts += begun ? 1 : 0;
    wait_again(*last);
    ++counts_.redispatched;
  }
}

/// Puts the request back in its old place among those that wait, with a new ticket.
void Queue::wait_again(QueueSlot& slot) {
  slot.worker->let_go(slot);
  slots_.renew_ticket(slot);
  QueueSlot* next = waiting_.first();
  while (next != nullptr && next->order < slot.order) { next = waiting_.after(*next); }
  if (next == nullptr) {
    waiting_.push_back(slot);
  } else {
    waiting_.insert_before(*next, slot);
  }
}

void Queue::answer(QueueSlot& slot, const ResultView& result) {
  PendingCall& call = *slot.call;
  slot.worker->let_go(slot);
  slots_.free(slot);
  call.finish(result);
}

}  // namespace handoff
