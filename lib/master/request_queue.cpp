// SPDX-License-Identifier: MIT
#include "master/request_queue.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "pass/queue_record.hpp"

namespace handoff {
namespace {

/// Replies of one worker that are taken before the others have a turn.
constexpr int kRepliesPerTurn = 256;

constexpr std::uint64_t ticket_of(std::size_t index, std::uint32_t generation) {
  return (std::uint64_t{generation} << 32U) | index;
}

}  // namespace

Queue::Queue(Reactor& reactor, Options options)
    : reactor_(reactor), options_(std::move(options)), slots_(options_.limit) {
  for (std::size_t i = slots_.size(); i > 0; --i) {
    free_.push_back(static_cast<std::uint32_t>(i - 1));
  }
  // What no worker can be given is better said at the start.
  (void)make_memory_to_write("handoff-requests", 1);
  reactor_.add(*this);
}

Queue::~Queue() {
  reactor_.remove(*this);
}

void Queue::submit(QueuedCall& call) {
  if (free_.empty()) {
    return call.answered(Result::error(ErrorCode::busy, "busy: the queue is full"));
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.call = &call;
  call.set_ticket(ticket_of(index, slot.generation));
  waiting_.push_back(call.ticket());
}

void Queue::cancel(QueuedCall& call) {
  Slot* slot = find(call.ticket());
  if (slot == nullptr) return;
  if (slot->worker == nullptr) std::erase(waiting_, call.ticket());
  free(*slot);
}

std::size_t Queue::memory_size(const Options& options) {
  return RingEnd::memory_size(options.longest + kQueueRecordSize);
}

void Queue::add(WorkerChannel& link) {
  const std::size_t size = memory_size(options_);
  SharedMemory ours = make_memory_to_write("handoff-requests", size);
  SharedMemory theirs = make_memory_to_read("handoff-replies", size);
  workers_.emplace_back(link, RingEnd(std::move(ours.mapping), std::move(theirs.mapping)));
  std::vector<Fd> memories;
  memories.push_back(std::move(ours.file));
  memories.push_back(std::move(theirs.file));
  link.pass_queue(std::move(memories));
}

void Queue::retire(const WorkerChannel& link) {
  if (QueueWorker* worker = find(link)) worker->retired = true;
}

void Queue::remove(const WorkerChannel& link) {
  QueueWorker* worker = find(link);
  if (worker == nullptr) return;
  worker->retired = true;
  while (read_replies(*worker)) {
  }
  lose(*worker);
  workers_.remove_if([worker](const QueueWorker& other) { return &other == worker; });
}

Queue::Counts Queue::counts() const {
  Counts counts = counts_;
  counts.waiting = waiting_.size();
  counts.running = slots_.size() - free_.size() - waiting_.size();
  return counts;
}

/// In each turn of the loop, so that what came together is told with one wake-up.
bool Queue::poll() {
  bool any = false;
  for (QueueWorker& worker : workers_) any = read_replies(worker) || any;
  assign();
  for (QueueWorker& worker : workers_) {
    if (!std::exchange(worker.unpublished, false)) continue;
    worker.rings.publish();
    if (worker.rings.must_wake()) worker.link.wake(channel::Type::queue);
  }
  return any;
}

void Queue::prepare_to_block() {
  for (QueueWorker& worker : workers_) worker.rings.arm();
}

void Queue::stop_blocking() {
  for (QueueWorker& worker : workers_) worker.rings.disarm();
}

void Queue::assign() {
  for (QueueWorker& worker : workers_) worker.has_room = true;
  while (!waiting_.empty()) {
    const auto next = std::find_if(waiting_.begin(), waiting_.end(),
                                   [this](std::uint64_t ticket) { return may_begin(ticket); });
    if (next == waiting_.end()) return;
    QueueWorker* worker = free_worker();
    if (worker == nullptr) return;
    worker->has_room = give(*find(*next), *worker);
    if (worker->has_room) {
      worker->rings.clear_starved();
      waiting_.erase(next);
    } else {
      worker->rings.set_starved();
    }
  }
}

/// Those of a connection keep their order: what its first replies wait for begins before the rest.
bool Queue::may_begin(std::uint64_t ticket) {
  const std::shared_ptr<CallGate>& gate = find(ticket)->call->call.gate;
  return !gate || gate->may_begin();
}

/// The one with the fewest requests; of those that are equal, the one that has waited longest.
Queue::QueueWorker* Queue::free_worker() {
  auto best = workers_.end();
  for (auto worker = workers_.begin(); worker != workers_.end(); ++worker) {
    if (worker->retired || !worker->has_room || worker->running >= worker->link.max_calls())
      continue;
    if (best == workers_.end() || worker->running < best->running) best = worker;
  }
  if (best == workers_.end()) return nullptr;
  workers_.splice(workers_.end(), workers_, best);
  return &*best;
}

/// False when the worker's ring has no room for it now.
bool Queue::give(Slot& slot, QueueWorker& worker) {
  const Call& call = slot.call->call;
  const std::int64_t deadline = call.deadline.time_since_epoch() / std::chrono::nanoseconds(1);
  if (!write_request(worker.rings, {slot.call->ticket(), deadline, call.method, call.params,
                                    call.id, call.peer})) {
    return false;
  }
  if (call.gate) call.gate->begin();
  slot.worker = &worker;
  slot.end = worker.rings.written();
  worker.unpublished = true;
  ++worker.running;
  return true;
}

/// Whether it has read any.
bool Queue::read_replies(QueueWorker& worker) {
  if (worker.blamed) return false;
  int count = 0;
  Status status = Status::ok();
  while (count < kRepliesPerTurn && status.is_ok()) {
    const auto record = worker.rings.read(record_);
    if (!record) break;
    ++count;
    status = take(worker, *record);
  }
  if (worker.rings.broken()) status = Status::failure("it broke the queue's memory");
  if (!status.is_ok()) {
    worker.blamed = true;
    worker.link.fail_with_protocol_error(status.why());
    return false;
  }
  if (count == 0) return false;
  worker.rings.release();
  if (worker.rings.other_is_starved() && worker.rings.must_wake()) {
    worker.link.wake(channel::Type::queue);
  }
  return true;
}

/// A failure says which rule the worker has broken.
Status Queue::take(QueueWorker& worker, std::string_view record) {
  const auto reply = decode_reply(record);
  if (!reply) return Status::failure("it sent no valid reply");
  if (worker.running == 0) {
    return Status::failure("it answered more requests than it was given");
  }
  --worker.running;
  Slot* slot = find(reply->ticket);
  if (slot == nullptr) {
    ++counts_.late;
    return Status::ok();
  }
  if (slot->worker != &worker) {
    return Status::failure("it answered a request that it was not given");
  }
  const bool has_json = reply->code == 0 || !reply->json.empty();
  if (has_json && reader_.read_whole(reply->json, 1) != JsonProblem::none) {
    return Status::failure("it sent a reply that is no JSON");
  }
  answer(*slot, {std::string(reply->json), static_cast<ErrorCode>(reply->code),
                 std::string(reply->message)});
  return Status::ok();
}

void Queue::lose(QueueWorker& worker) {
  std::vector<Slot*> again;
  for (Slot& slot : slots_) {
    if (slot.worker != &worker) continue;
    // The end of a channel is not the end of a process that others have started: it may still begin
    // what it has.
    const bool begun = worker.link.has_joined() || slot.end <= worker.rings.read_by_other();
    const bool may_again =
        options_.idempotent.contains(slot.call->call.method) && slot.attempts + 1 < kMostAttempts;
    if (!begun || may_again) {
      slot.attempts += begun ? 1 : 0;
      again.push_back(&slot);
      continue;
    }
    ++counts_.died;
    answer(slot, Result::error(ErrorCode::worker_died,
                               slot.end <= worker.rings.read_by_other()
                                   ? "the worker died while it executed this"
                                   : "the worker has left, and may still execute this"));
  }
  // They were there before all that waits.
  std::sort(again.begin(), again.end(),
            [](const Slot* one, const Slot* other) { return one->end > other->end; });
  for (Slot* slot : again) {
    take_from_worker(*slot);
    slot->call->set_ticket(
        ticket_of(static_cast<std::size_t>(slot - slots_.data()), ++slot->generation));
    waiting_.push_front(slot->call->ticket());
    ++counts_.redispatched;
  }
}

void Queue::answer(Slot& slot, Result result) {
  QueuedCall& call = *slot.call;
  free(slot);
  call.answered(std::move(result));
}

/// Of a ticket that is still good.
Queue::Slot* Queue::find(std::uint64_t ticket) {
  const std::uint64_t index = ticket & std::numeric_limits<std::uint32_t>::max();
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  return slot.call != nullptr && slot.generation == ticket >> 32U ? &slot : nullptr;
}

/// Whoever still has its ticket has an old one.
void Queue::free(Slot& slot) {
  take_from_worker(slot);
  slot.call->set_ticket(0);
  slot.call = nullptr;
  slot.attempts = 0;
  ++slot.generation;
  free_.push_back(static_cast<std::uint32_t>(&slot - slots_.data()));
}

void Queue::take_from_worker(Slot& slot) {
  if (slot.worker != nullptr && slot.call->call.gate) slot.call->call.gate->end();
  slot.worker = nullptr;
}

Queue::QueueWorker* Queue::find(const WorkerChannel& link) {
  const auto found = std::find_if(workers_.begin(), workers_.end(),
                                  [&](const QueueWorker& worker) { return &worker.link == &link; });
  return found == workers_.end() ? nullptr : &*found;
}

}  // namespace handoff
