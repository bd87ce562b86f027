// SPDX-License-Identifier: MIT
#include "master/queue_worker.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include <handoff/os/fd.hpp>

#include "os/sealed_memory.hpp"
#include "pass/channel.hpp"

namespace handoff {
namespace {

/// The most replies of one worker that are consumed before the other workers get a turn.
constexpr int kRepliesPerTurn = 256;

/// The most work that a worker may be given ahead, in nanoseconds. A call whose method has never
/// been timed counts for all of it.
constexpr std::uint64_t kMostWork = QueueWorker::kMostPrefetchedWork / std::chrono::nanoseconds(1);
/// The least time that a call counts for, so that at most 64 calls are prefetched for each that
/// runs.
constexpr std::uint64_t kLeastWork = kMostWork / 64;

RingEnd share_rings(WorkerChannel& link, std::size_t memory_size) {
  SharedMemory ours = make_memory_to_write("handoff-requests", memory_size);
  SharedMemory theirs = make_memory_to_read("handoff-replies", memory_size);
  RingEnd rings(std::move(ours.mapping), std::move(theirs.mapping));
  std::vector<Fd> memories;
  memories.push_back(std::move(ours.file));
  memories.push_back(std::move(theirs.file));
  link.pass_queue(std::move(memories));
  return rings;
}

}  // namespace

QueueWorker::QueueWorker(WorkerChannel& link, std::size_t memory_size)
    : link_(link), rings_(share_rings(link, memory_size)) {}

QueueWorker::~QueueWorker() {
  while (!slots_.empty()) { let_go(slots_.front()); }
}

QueueWorker::Load QueueWorker::load() const {
  if (given_ == 0 && has_room_) { return is_free() ? Load::idle : Load::unused; }
  if (is_free()) { return Load::partly; }
  return prefetched() > 0 ? Load::ahead : Load::full;
}

bool QueueWorker::may_prefetch(MethodTimes::Index method) const {
  if (!may_be_given_more() || !rings_.other_heeds_revocations()) { return false; }
  const std::uint64_t expected = times_.expected(method);
  return expected > 0 && work_ + expected <= kMostWork * link_.max_calls();
}

bool QueueWorker::give(QueueSlot& slot, TimePoint now) {
  const CallView& call = slot.call->view();
  const std::int64_t deadline = call.deadline.time_since_epoch() / std::chrono::nanoseconds(1);
  has_room_ = write_request(
      rings_, {slot.call->ticket(), deadline, call.method, call.params, call.id, call.peer});
  if (!has_room_) {
    rings_.set_starved();
    return false;
  }
  rings_.clear_starved();
  unpublished_ = true;
  if (given_ == 0) { progressed_ = now; }
  ++given_;
  const std::uint64_t expected = times_.expected(slot.method);
  work_ += expected > 0 ? std::max(kLeastWork, expected) : kMostWork;
  last_ticket_ = slot.call->ticket();
  slot.worker = this;
  slot.end = rings_.written();
  slots_.push_back(slot);
  return true;
}

void QueueWorker::let_go(QueueSlot& slot) {
  slots_.remove(slot);
  slot.worker = nullptr;
}

void QueueWorker::publish() {
  if (!std::exchange(unpublished_, false)) { return; }
  rings_.publish();
  if (rings_.must_wake()) { link_.wake(channel::Type::queue); }
}

bool QueueWorker::read_replies(Receiver& receiver, std::string& copy, TimePoint now) {
  if (has_failed_) { return false; }
  int count = 0;
  const Status status = take_replies(receiver, copy, count);
  if (!status.is_ok()) {
    has_failed_ = true;
    link_.fail_with_protocol_error(status.why());
    return false;
  }
  if (count == 0) { return false; }
  progressed_ = now;
  rings_.release();
  if (rings_.other_is_starved() && rings_.must_wake()) { link_.wake(channel::Type::queue); }
  return true;
}

Status QueueWorker::take_replies(Receiver& receiver, std::string& copy, int& count) {
  for (; count < kRepliesPerTurn; ++count) {
    const auto record = rings_.read(copy);
    if (!record) { break; }
    if (Status status = take_reply(receiver, *record); !status.is_ok()) { return status; }
  }
  return rings_.broken() ? Status::failure("it broke the queue's memory") : Status::ok();
}

Status QueueWorker::take_reply(Receiver& receiver, std::string_view record) {
  const auto reply = decode_reply(record);
  if (!reply) { return Status::failure("it sent no valid reply"); }
  if (given_ == 0) { return Status::failure("it answered more requests than it was given"); }
  if (reply->is_not_begun() && revoked_until_ == 0) {
    return Status::failure("it gave back a request that was not taken back");
  }
  work_ -= work_ / given_;  // which of them this was is not known if it is late
  --given_;
  if (revoking_ && reply->ticket == last_ticket_) { end_revocation(); }
  return receiver.receive(*this, *reply);
}

/// The worker reads its ring in order. So once it has answered the last request that it had been
/// given by then, as begun or as not begun, it has taken account of the revocation for the last
/// time.
std::optional<std::uint64_t> QueueWorker::revoke() {
  if (!has_unbegun()) { return std::nullopt; }
  publish();
  revoking_ = true;
  revoked_until_ = rings_.written();
  const std::uint64_t begun_until = rings_.revoke(rings_.read_by_other());
  // Nothing is certain not to be begun, so there is nothing for other workers.
  if (begun_until >= revoked_until_) { end_revocation(); }
  return begun_until;
}

std::uint64_t QueueWorker::abandon() {
  if (rings_.other_heeds_revocations()) { return rings_.revoke(0); }
  return link_.has_joined() ? rings_.written() : rings_.read_by_other();
}

void QueueWorker::end_revocation() {
  revoking_ = false;
  rings_.end_revocation();
}

}  // namespace handoff
