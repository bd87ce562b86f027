// SPDX-License-Identifier: MIT
#include "master/queue_worker.hpp"

#include <string_view>
#include <utility>
#include <vector>

#include "os/fd.hpp"
#include "os/sealed_memory.hpp"
#include "pass/channel.hpp"

namespace handoff {
namespace {

/// Replies of one worker that are taken before the others have a turn.
constexpr int kRepliesPerTurn = 256;

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

bool QueueWorker::give(const QueueRequest& request) {
  has_room_ = write_request(rings_, request);
  if (!has_room_) {
    rings_.set_starved();
    return false;
  }
  rings_.clear_starved();
  unpublished_ = true;
  ++running_;
  return true;
}

void QueueWorker::publish() {
  if (!std::exchange(unpublished_, false)) return;
  rings_.publish();
  if (rings_.must_wake()) link_.wake(channel::Type::queue);
}

bool QueueWorker::read_replies(Receiver& receiver, std::string& copy) {
  if (has_failed_) return false;
  int count = 0;
  const Status status = take_replies(receiver, copy, count);
  if (!status.is_ok()) {
    has_failed_ = true;
    link_.fail_with_protocol_error(status.why());
    return false;
  }
  if (count == 0) return false;
  rings_.release();
  if (rings_.other_is_starved() && rings_.must_wake()) link_.wake(channel::Type::queue);
  return true;
}

Status QueueWorker::take_replies(Receiver& receiver, std::string& copy, int& count) {
  for (; count < kRepliesPerTurn; ++count) {
    const auto record = rings_.read(copy);
    if (!record) break;
    if (Status status = take_reply(receiver, *record); !status.is_ok()) return status;
  }
  return rings_.broken() ? Status::failure("it broke the queue's memory") : Status::ok();
}

Status QueueWorker::take_reply(Receiver& receiver, std::string_view record) {
  const auto reply = decode_reply(record);
  if (!reply) return Status::failure("it sent no valid reply");
  if (running_ == 0) return Status::failure("it answered more requests than it was given");
  --running_;
  return receiver.receive(*this, *reply);
}

}  // namespace handoff
