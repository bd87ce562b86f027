// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "async/clock.hpp"
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
/// The worker is trusted in nothing. When it breaks a rule, it is told on its channel, once, and no
/// reply of it counts any more.
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

  /// The one that is given the replies.
  class Receiver {
   public:
    /// `reply` is valid during the call. A failure says which rule the worker has broken.
    virtual Status receive(QueueWorker& from, const QueueReply& reply) = 0;

   protected:
    ~Receiver() = default;
  };

  /// Makes two memories of `memory_size` bytes and passes them to the worker. Throws SystemError
  /// when there is no memory. The channel must outlive this.
  QueueWorker(WorkerChannel& link, std::size_t memory_size);
  QueueWorker(const QueueWorker&) = delete;
  QueueWorker& operator=(const QueueWorker&) = delete;
  /// Lets all slots go.
  ~QueueWorker();

  /// Returns whether this is the channel of the worker.
  bool is_of(const WorkerChannel& link) const { return &link_ == &link; }
  /// Returns the number of requests that it was given and has not answered. A request that was
  /// taken back counts until the worker says that it has not begun it.
  std::size_t given() const { return given_; }
  /// Returns how many of those exceed what the worker runs at a time; 0 while they are taken back.
  std::size_t prefetched() const {
    return given_ > link_.max_calls() && !revoking_ ? given_ - link_.max_calls() : 0;
  }
  /// Returns whether the worker may be given one more: it was not retired, has fewer than it runs
  /// at a time, and its ring has had room since look_for_room().
  bool is_free() const { return may_be_given_more() && given_ < link_.max_calls(); }
  /// Says what the worker has, and whether it may get more.
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

  /// Writes the request of a slot that is in no list into its ring, where the worker sees it after
  /// publish(), and keeps the slot until let_go(). False when the ring has no room for it now.
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
  /// Gives the receiver at most kRepliesPerTurn replies; `copy` is a buffer to read into. Returns
  /// whether there were any.
  bool read_replies(Receiver& receiver, std::string& copy, TimePoint now);
  /// Learns from a reply to a request of this method how long it took.
  void learn(MethodTimes::Index method, const QueueReply& reply) {
    times_.add(method, reply.duration);
  }

  /// Takes back what it has not begun. Returns where the record ends that it may have begun last:
  /// none of those that end later will be begun, and of each before that the receiver is told
  /// whether it was. It gets no more until it has answered the last one. Nothing, and nothing has
  /// changed, when there is nothing to take back, or it still has to answer the last time.
  std::optional<std::uint64_t> revoke();
  /// Returns whether the request whose record ends there may come back as not begun.
  bool was_revoked(std::uint64_t end) const { return end <= revoked_until_; }
  /// Returns whether the worker has prefetched requests and has not said that it begins all of
  /// them.
  bool has_unbegun() const { return prefetched() > 0 && !says_begun(rings_.written()); }
  /// Returns when it has answered last, or when it was given a request while it had none, if that
  /// is later.
  TimePoint progressed() const { return progressed_; }

  /// Returns whether the worker has said, in its own memory, that it begins the request whose
  /// record ends there.
  bool says_begun(std::uint64_t end) const { return end <= rings_.read_by_other(); }
  /// Its channel has ended: takes back for good what it has not begun. Returns as revoke(). The end
  /// of a channel is not the end of a process that others have started: if that does not heed
  /// revocations, it may still begin all that it has.
  std::uint64_t abandon();

  /// Has the worker wake the master with what it publishes from now on; see RingEnd::arm.
  void prepare_to_block() { rings_.arm(); }
  /// Ends that.
  void stop_blocking() { rings_.disarm(); }

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
  std::uint64_t work_ =
      0;  ///< nanoseconds that the requests given are expected to take, one by one
  TimePoint progressed_{};
  std::uint64_t last_ticket_ = 0;    ///< of the request that was given last
  std::uint64_t revoked_until_ = 0;  ///< the end of what was there at the last revocation
  bool revoking_ = false;            ///< until it has answered what it had last; see revoke()
  bool retired_ = false;
  bool has_failed_ = false;  ///< it has broken a rule: nothing that it says counts any more
  bool unpublished_ = false;
  bool has_room_ = true;  ///< for the next request
};

}  // namespace handoff
