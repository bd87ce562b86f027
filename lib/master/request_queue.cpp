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
  call.ticket_ = ticket_of(index, slot.generation);
  waiting_.push_back(call.ticket_);
}

void Queue::cancel(QueuedCall& call) {
  Slot* slot = find(call.ticket_);
  if (slot == nullptr) return;
  if (slot->seat == nullptr) std::erase(waiting_, call.ticket_);
  free(*slot);
}

std::size_t Queue::memory_size(const Options& options) {
  return RingEnd::memory_size(options.longest + kQueueRecordSize);
}

void Queue::add(WorkerLink& link) {
  const std::size_t size = memory_size(options_);
  SharedMemory ours = make_memory_to_write("handoff-requests", size);
  SharedMemory theirs = make_memory_to_read("handoff-replies", size);
  seats_.emplace_back(link, RingEnd(std::move(ours.mapping), std::move(theirs.mapping)));
  std::vector<Fd> memories;
  memories.push_back(std::move(ours.file));
  memories.push_back(std::move(theirs.file));
  link.pass_source(channel::Type::queue, std::move(memories));
}

void Queue::retire(const WorkerLink& link) {
  if (Seat* seat = find(link)) seat->retired = true;
}

void Queue::remove(const WorkerLink& link) {
  Seat* seat = find(link);
  if (seat == nullptr) return;
  seat->retired = true;
  while (read_replies(*seat)) {
  }
  lose(*seat);
  seats_.remove_if([seat](const Seat& other) { return &other == seat; });
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
  for (Seat& seat : seats_) any = read_replies(seat) || any;
  assign();
  for (Seat& seat : seats_) {
    if (!std::exchange(seat.unpublished, false)) continue;
    seat.rings.publish();
    if (seat.rings.must_wake()) seat.link.wake(channel::Type::queue);
  }
  return any;
}

void Queue::prepare_to_block() {
  for (Seat& seat : seats_) seat.rings.arm();
}

void Queue::stop_blocking() {
  for (Seat& seat : seats_) seat.rings.disarm();
}

void Queue::assign() {
  for (Seat& seat : seats_) seat.has_room = true;
  while (!waiting_.empty()) {
    const auto next = std::find_if(waiting_.begin(), waiting_.end(),
                                   [this](std::uint64_t ticket) { return may_begin(ticket); });
    if (next == waiting_.end()) return;
    Seat* seat = free_seat();
    if (seat == nullptr) return;
    seat->has_room = give(*find(*next), *seat);
    seat->rings.set_starved(!seat->has_room);
    if (seat->has_room) waiting_.erase(next);
  }
}

/// Those of a connection keep their order: what its first replies wait for begins before the rest.
bool Queue::may_begin(std::uint64_t ticket) {
  const std::shared_ptr<CallGate>& gate = find(ticket)->call->call.gate;
  return !gate || gate->may_begin();
}

/// The one with the fewest requests; of those that are equal, the one that has waited longest.
Queue::Seat* Queue::free_seat() {
  auto best = seats_.end();
  for (auto seat = seats_.begin(); seat != seats_.end(); ++seat) {
    if (seat->retired || !seat->has_room || seat->running >= seat->link.calls()) continue;
    if (best == seats_.end() || seat->running < best->running) best = seat;
  }
  if (best == seats_.end()) return nullptr;
  seats_.splice(seats_.end(), seats_, best);
  return &*best;
}

/// False when the worker's ring has no room for it now.
bool Queue::give(Slot& slot, Seat& seat) {
  const Call& call = slot.call->call;
  const std::int64_t deadline = call.deadline.time_since_epoch() / std::chrono::nanoseconds(1);
  if (!write_request(seat.rings, {slot.call->ticket_, deadline, call.method, call.params, call.id,
                                  call.peer})) {
    return false;
  }
  if (call.gate) call.gate->begin();
  slot.seat = &seat;
  slot.end = seat.rings.written();
  seat.unpublished = true;
  ++seat.running;
  return true;
}

/// Whether there were any.
bool Queue::read_replies(Seat& seat) {
  if (seat.blamed) return false;
  int count = 0;
  std::string problem;
  while (count < kRepliesPerTurn && problem.empty()) {
    const auto record = seat.rings.read(record_);
    if (!record) break;
    ++count;
    problem = take(seat, *record);
  }
  if (seat.rings.broken()) problem = "it broke the queue's memory";
  if (!problem.empty()) {
    seat.blamed = true;
    seat.link.blame(problem);
    return false;
  }
  if (count == 0) return false;
  seat.rings.release();
  if (seat.rings.other_is_starved() && seat.rings.must_wake()) {
    seat.link.wake(channel::Type::queue);
  }
  return true;
}

/// Empty, or what is wrong with it.
std::string Queue::take(Seat& seat, std::string_view record) {
  const auto reply = decode_reply(record);
  if (!reply) return "it sent no valid reply";
  if (seat.running == 0) return "it answered more requests than it was given";
  --seat.running;
  Slot* slot = find(reply->ticket);
  if (slot == nullptr) {
    ++counts_.late;
    return "";
  }
  if (slot->seat != &seat) return "it answered a request that it was not given";
  const bool has_json = reply->code == 0 || !reply->json.empty();
  if (has_json && reader_.read_whole(reply->json, 1) != JsonProblem::none) {
    return "it sent a reply that is no JSON";
  }
  answer(*slot, {std::string(reply->json), static_cast<ErrorCode>(reply->code),
                 std::string(reply->message)});
  return "";
}

void Queue::lose(Seat& seat) {
  std::vector<Slot*> again;
  for (Slot& slot : slots_) {
    if (slot.seat != &seat) continue;
    // The end of a channel is not the end of a process that others have started: it may still begin
    // what it has.
    const bool begun = seat.link.has_joined() || slot.end <= seat.rings.read_by_other();
    const bool may_again =
        options_.idempotent.contains(slot.call->call.method) && slot.attempts + 1 < kMostAttempts;
    if (!begun || may_again) {
      slot.attempts += begun ? 1 : 0;
      again.push_back(&slot);
      continue;
    }
    ++counts_.died;
    answer(slot, Result::error(ErrorCode::worker_died,
                               slot.end <= seat.rings.read_by_other()
                                   ? "the worker died while it executed this"
                                   : "the worker has left, and may still execute this"));
  }
  // They were there before all that waits.
  std::sort(again.begin(), again.end(),
            [](const Slot* one, const Slot* other) { return one->end > other->end; });
  for (Slot* slot : again) {
    take_from_seat(*slot);
    slot->call->ticket_ =
        ticket_of(static_cast<std::size_t>(slot - slots_.data()), ++slot->generation);
    waiting_.push_front(slot->call->ticket_);
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
  take_from_seat(slot);
  slot.call->ticket_ = 0;
  slot.call = nullptr;
  slot.attempts = 0;
  ++slot.generation;
  free_.push_back(static_cast<std::uint32_t>(&slot - slots_.data()));
}

void Queue::take_from_seat(Slot& slot) {
  if (slot.seat != nullptr && slot.call->call.gate) slot.call->call.gate->end();
  slot.seat = nullptr;
}

Queue::Seat* Queue::find(const WorkerLink& link) {
  const auto found = std::find_if(seats_.begin(), seats_.end(),
                                  [&](const Seat& seat) { return &seat.link == &link; });
  return found == seats_.end() ? nullptr : &*found;
}

}  // namespace handoff
