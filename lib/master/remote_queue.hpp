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

/// The queue as the calls of one I/O thread see it: they are begun and finished on that thread, and
/// queued on the main thread. What many calls have to say at a time costs one wake-up.
///
/// A call is on both threads from its beginning until the main thread has given it back, also when
/// it timed out before: so it has a copy of its own of the texts.
class RemoteQueue final : public CallExecutor {
 public:
  /// Calls a function on the I/O thread.
  using Post = std::function<void(std::function<void()>)>;
  /// When a call times out that has this deadline.
  using TimesOut = TimePoint (*)(TimePoint deadline);

  /// On the main thread. The queue and `home`, the main thread's mailbox, must outlive this.
  RemoteQueue(CallExecutor& queue, Mailbox& home, Post post, TimesOut times_out);
  RemoteQueue(const RemoteQueue&) = delete;
  RemoteQueue& operator=(const RemoteQueue&) = delete;
  /// On the main thread, when the other has ended.
  ~RemoteQueue();

  // These are for the I/O thread.
  TimePoint begin(PendingCall& call) override;
  void time_out(PendingCall& call) override;
  void cancel(PendingCall& call) override;

 private:
  /// A call, as the queue has it.
  class RemoteCall;
  /// What the main thread is to do with a call: queue it, or take it out of the queue.
  enum class Order : std::uint8_t { submit, withdraw };
  /// What one thread has for the other.
  template <typename T>
  class Lane {
   public:
    /// Whether the other thread has to be woken for it.
    bool push(T item) {
      const std::lock_guard lock(mutex_);
      items_.push_back(item);
      return items_.size() == 1;
    }
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
  Lane<std::pair<RemoteCall*, Order>> orders_;  ///< to the main thread
  Lane<RemoteCall*> answers_;                   ///< to the I/O thread
  std::vector<std::pair<RemoteCall*, Order>> obeying_;
  std::vector<RemoteCall*> delivering_;
  std::vector<std::unique_ptr<RemoteCall>> calls_;  ///< all that were ever needed at a time
  std::vector<RemoteCall*> free_;                   ///< used on the I/O thread only, as calls_
};

}  // namespace handoff
