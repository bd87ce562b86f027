// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <handoff/async/clock.hpp>

#include "async/linked_list.hpp"
#include "master/method_times.hpp"
#include "master/queue_slots.hpp"
#include "master/worker_channel.hpp"
#include "os/status.hpp"
#include "pass/queue_record.hpp"
#include "pass/ring.hpp"

namespace handoff {

/// The master's end of the rings that it shares with one worker of a queue: how many requests the
/// worker may get and has got, its replies, and its wake-ups.
///
/// A worker may be given requests beyond those that it runs at a time, so that it need not wait for
/// the master between two of them. They are prefetched: it begins each when another has ended, and
/// until then the master can take it back.
///
/// The worker is not trusted. If it breaks a rule, it is told on its channel, once, and none of its
/// replies counts any more.
class QueueWorker {
 public:
  /// The requests that a worker has, compared with those that it may be given.
  enum class Load : std::uint8_t {
    unused,  ///< it has nothing and gets nothing: it was retired, or takes no calls
    idle,    ///< it has nothing
    partly,  ///< it has some, and is free for more
    full,    ///< it is not free, because it has as many as it runs or for another reason
    ahead    ///< it has more than it runs
  };
  static constexpr std::size_t kLoads = 5;

  /// The receiver of the replies.
  class Receiver {
   public:
    /// `reply` is valid during the call. A failure says which rule the worker has broken.
    virtual Status receive(QueueWorker& from, const QueueReply& reply) = 0;

   protected:
    ~Receiver() = default;
  };

  /// Makes two memories of `memory_size` bytes and passes them to the worker. Throws SystemError if
  /// there is no memory. The channel must outlive this object.
  QueueWorker(WorkerChannel& link, std::size_t memory_size);
  QueueWorker(const QueueWorker&) = delete;
  QueueWorker& operator=(const QueueWorker&) = delete;
  /// Takes all slots out of the list of the worker's slots.
  ~QueueWorker();

  /// Returns whether this is the channel of the worker.
  bool is_of(const WorkerChannel& link) const { return &link_ == &link; }
  /// Returns the number of requests that it was given and has not answered. A request that was
  /// taken back counts until the worker says that it has not begun it.
  std::size_t given() const { return given_; }
  /// Returns how many of those exceed the number that the worker runs at a time; 0 while they are
  /// taken back.
  std::size_t prefetched() const {
    return given_ > link_.max_calls() && !revoking_ ? given_ - link_.max_calls() : 0;
  }
  /// Returns whether the worker may be given another request: it was not retired, has fewer than it
  /// runs at a time, and its ring has had room since look_for_room().
  bool is_free() const { return may_be_given_more() && given_ < link_.max_calls(); }
  /// Returns what the worker has, and whether it may get more.
  Load load() const;
  /// Returns whether the worker may be given a call of this method beyond those that it runs: it is
  /// expected to begin that call in less than kMostPrefetchedWork.
  bool may_prefetch(MethodTimes::Index method) const;
  /// Returns the nanoseconds that it is expected to take for all the requests that it has.
  std::uint64_t expected_work() const {
    return link_.max_calls() > 0 ? work_ / link_.max_calls() : 0;
  }
  /// Gives it no more requests. It still answers those that it has.
  void retire() { retired_ = true; }
  /// Lets give() try again, after it has found the ring full.
  void look_for_room() { has_room_ = true; }

  /// Writes the request of a slot that is in no list into the worker's ring, where the worker sees
  /// it after publish(), and keeps the slot until let_go(). Returns false if the ring has no room
  /// for it now.
  bool give(QueueSlot& slot, TimePoint now);
  /// Takes the slot of a request that it was given out of the list of its slots. The worker may
  /// still answer that request.
  void let_go(QueueSlot& slot);
  /// Returns the slot of the request that it was given last, of those that were not let go; null if
  /// there is none.
  QueueSlot* last() const { return slots_.empty() ? nullptr : &slots_.back(); }
  /// Returns whether publish() has something to do.
  bool has_unpublished() const { return unpublished_; }
  /// Publishes what was given, if anything, and wakes the worker if it sleeps.
  void publish();
  /// Consumes at most kRepliesPerTurn replies, each of which it gives to the receiver; `copy` is a
  /// buffer to read into. Returns whether it consumed any.
  bool read_replies(Receiver& receiver, std::string& copy, TimePoint now);
  /// Learns from a reply to a request of this method how long it took.
  void learn(MethodTimes::Index method, const QueueReply& reply) {
    times_.add(method, reply.duration);
  }

  /// Takes back the requests that the worker has not begun. Returns where the record ends that it
  /// may have begun last: it will begin none of those that end later, and the receiver is told of
  /// each before that whether it was begun. The worker gets nothing more until it has answered the
  /// last one. Returns nothing, and changes nothing, if there is nothing to take back, or if the
  /// last revocation is still to be answered.
  std::optional<std::uint64_t> revoke();
  /// Returns whether the request whose record ends there may come back as not begun.
  bool was_revoked(std::uint64_t end) const { return end <= revoked_until_; }
  /// Returns whether the worker has prefetched requests and has not said that it begins all of
  /// them.
  bool has_unbegun() const { return prefetched() > 0 && !says_begun(rings_.written()); }
  /// Returns when the worker last answered, or when it was given a request while it had none, if
  /// that is later.
  TimePoint progressed() const { return progressed_; }

  /// Returns whether the worker has said, in its own memory, that it begins the request whose
  /// record ends there.
  bool says_begun(std::uint64_t end) const { return end <= rings_.read_by_other(); }
  /// Called when the worker's channel has ended: takes back, for good, the requests that it has not
  /// begun. Returns the same as revoke(). A process that others have started may live on after the
  /// end of its channel: if it ignores revocations, it may still begin everything that it has.
  std::uint64_t abandon();

  /// Has the worker wake the master with what it publishes from now on; see RingEnd::arm.
  void prepare_to_block() { rings_.arm(); }
  /// Ends what prepare_to_block() has begun.
  void stop_blocking() { rings_.disarm(); }

  /// The most work that a worker is given beyond the requests that it runs; see may_prefetch().
  static constexpr Duration kMostPrefetchedWork = std::chrono::microseconds(200);

 private:
  bool may_be_given_more() const { return !retired_ && has_room_ && !revoking_; }
  Status take_replies(Receiver& receiver, std::string& copy, int& count);
  Status take_reply(Receiver& receiver, std::string_view record);
  void end_revocation();

  WorkerChannel& link_;
  RingEnd rings_;
  LinkedList<QueueSlot> slots_;  ///< in the order of their records in the ring
  MethodTimes times_;
  std::size_t given_ = 0;
  /// Nanoseconds that the requests given are expected to take, one by one.
  std::uint64_t work_ = 0;
  TimePoint progressed_{};
  std::uint64_t last_ticket_ = 0;  ///< the ticket of the request that was given last
  /// The end of the last record that was there at the last revocation.
  std::uint64_t revoked_until_ = 0;
  bool revoking_ = false;  ///< whether a revocation is still to be answered; see revoke()
  bool retired_ = false;
  bool has_failed_ = false;  ///< it has broken a rule: none of its replies counts any more
  bool unpublished_ = false;
  bool has_room_ = true;  ///< whether the ring has room for the next request
};

}  // namespace handoff
