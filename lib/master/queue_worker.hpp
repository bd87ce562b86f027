// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "master/worker_channel.hpp"
#include "os/status.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"

namespace handoff {

/// The master's end of the rings that it shares with one worker of a queue: which requests the
/// worker may get and has got, its replies, and its wake-ups.
///
/// The worker is trusted in nothing. When it breaks a rule, it is told on its channel, once, and no
/// reply of it counts any more.
class QueueWorker {
 public:
  /// Who is given the replies. `reply` is valid during the call; a failure says which rule the
  /// worker has broken.
  class Receiver {
   public:
    virtual Status receive(QueueWorker& from, const QueueReply& reply) = 0;

   protected:
    ~Receiver() = default;
  };

  /// Makes two memories of `memory_size` bytes and passes them to the worker. Throws SystemError
  /// when there is no memory. The channel must outlive this.
  QueueWorker(WorkerChannel& link, std::size_t memory_size);
  QueueWorker(const QueueWorker&) = delete;
  QueueWorker& operator=(const QueueWorker&) = delete;

  bool is_of(const WorkerChannel& link) const { return &link_ == &link; }
  /// Requests that it was given and has not answered.
  std::size_t running() const { return running_; }
  /// Whether it may be given one more: it was not retired, has fewer than it runs at a time, and
  /// its ring has had room since look_for_room().
  bool is_free() const { return !retired_ && has_room_ && running_ < link_.max_calls(); }
  /// It gets no more requests; what it has, it answers.
  void retire() { retired_ = true; }
  /// What give() has found to be full is tried again.
  void look_for_room() { has_room_ = true; }

  /// Writes a request into its ring, where the worker sees it after publish(). False when the ring
  /// has no room for it now.
  bool give(const QueueRequest& request);
  /// Where the record of the request that was given last ends in the ring.
  std::uint64_t written() const { return rings_.written(); }
  /// Publishes what was given, if anything, and wakes the worker if it sleeps.
  void publish();
  /// Gives the receiver at most kRepliesPerTurn replies; `copy` is a buffer to read into. Returns
  /// whether there were any.
  bool read_replies(Receiver& receiver, std::string& copy);

  /// Whether the worker has said, with its own memory, that it begins the request whose record ends
  /// there.
  bool says_begun(std::uint64_t end) const { return end <= rings_.read_by_other(); }
  /// Whether it may have begun that request, now that its channel has ended. The end of a channel
  /// is not the end of a process that others have started: that may still begin what it has.
  bool may_have_begun(std::uint64_t end) const { return link_.has_joined() || says_begun(end); }

  /// The worker sleeps no longer than until something is published; see RingEnd::arm.
  void prepare_to_block() { rings_.arm(); }
  void stop_blocking() { rings_.disarm(); }

 private:
  Status take_replies(Receiver& receiver, std::string& copy, int& count);
  Status take_reply(Receiver& receiver, std::string_view record);

  WorkerChannel& link_;
  RingEnd rings_;
  std::size_t running_ = 0;
  bool retired_ = false;
  bool has_failed_ = false;  ///< it has broken a rule: nothing that it says counts any more
  bool unpublished_ = false;
  bool has_room_ = true;  ///< for the next request
};

}  // namespace handoff
