// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <handoff/async/mailbox.hpp>

#include "rpc/pending_call.hpp"

namespace handoff {

/// The queue as one I/O thread sees it: calls are begun and finished on that thread, and queued on
/// the main thread. Calls that cross at about the same time cost one wake-up together.
///
/// Both threads use a call from its beginning until the main thread has given it back, even if it
/// has timed out before. So the queue's call has a copy of the texts.
class RemoteQueue final : public CallExecutor {
 public:
  /// Calls a function on the I/O thread, soon, and without blocking.
  using Post = std::function<void(std::function<void()>)>;
  /// Returns when a call with this deadline times out.
  using TimesOut = TimePoint (*)(TimePoint deadline);

  /// Makes the object, on the main thread. The queue and `home`, the main thread's mailbox, must
  /// outlive it.
  RemoteQueue(CallExecutor& queue, Mailbox& home, Post post, TimesOut times_out);
  RemoteQueue(const RemoteQueue&) = delete;
  RemoteQueue& operator=(const RemoteQueue&) = delete;
  /// Destroys the object, on the main thread, when the I/O thread has ended. Calls that are still
  /// queued leave the queue.
  ~RemoteQueue();

  // The functions of CallExecutor, for the I/O thread. begin() throws std::bad_alloc.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  void cancel(PendingCall& call) override;

 private:
  /// A call as the queue sees it.
  class RemoteCall;
  /// What the main thread is to do with a call: queue it, or take it out of the queue.
  enum class Order : std::uint8_t { submit, withdraw };
  /// The items that one thread has for the other.
  template <typename T>
  class Lane {
   public:
    /// Adds an item. Returns whether the other thread must be woken, because there was none.
    bool push(T item) {
      const std::lock_guard lock(mutex_);
      items_.push_back(item);
      return items_.size() == 1;
    }
    /// Replaces the contents of `items` by all items that are there.
    void take_all(std::vector<T>& items) {
      items.clear();
      const std::lock_guard lock(mutex_);
      items_.swap(items);
    }

   private:
    std::mutex mutex_;
    std::vector<T> items_;
  };

  RemoteCall& take_free();
  void send_home(RemoteCall& call, Order order);
  void obey();
  void give_back(RemoteCall& call);
  void deliver();

  CallExecutor& queue_;
  Mailbox& home_;
  Post post_;
  TimesOut times_out_;
  Lane<std::pair<RemoteCall*, Order>> orders_;  ///< orders for the main thread
  Lane<RemoteCall*> answers_;                   ///< calls to give back to the I/O thread
  std::vector<std::pair<RemoteCall*, Order>> obeying_;
  std::vector<RemoteCall*> delivering_;
  /// All calls: as many as were ever needed at a time.
  std::vector<std::unique_ptr<RemoteCall>> calls_;
  /// Those that are not in use; like calls_, for the I/O thread only.
  std::vector<RemoteCall*> free_;
};

}  // namespace handoff
